"""A private CA is made once; certificates that cannot work are refused with the reason."""

import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from artscraper_runner.errors import CredentialsError
from artscraper_runner.provenance import credentials
from artscraper_runner.provenance.credentials import load_credentials
from artscraper_runner.types import SigningSettings

x509 = pytest.importorskip("cryptography.x509", reason="needs the extra c2pa")


def test_the_ca_is_made_once_with_private_keys(tmp_path: Path) -> None:
    settings = SigningSettings(tmp_path / "keys")
    first = load_credentials(settings)
    assert load_credentials(settings) == first
    for name in (credentials.KEY_FILE, credentials.CA_KEY_FILE):
        assert stat.S_IMODE((tmp_path / "keys" / name).stat().st_mode) == 0o600
    leaf, authority = x509.load_pem_x509_certificates(first.chain)
    leaf.verify_directly_issued_by(authority)
    assert first.chain.endswith((tmp_path / "keys" / credentials.CA_FILE).read_bytes())


def test_several_workers_end_up_with_one_ca(tmp_path: Path) -> None:
    settings = SigningSettings(tmp_path / "keys")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(load_credentials, [settings] * 8))
    assert len({pair.chain for pair in found}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["keys"]


def test_the_key_is_not_shown(tmp_path: Path) -> None:
    found = load_credentials(SigningSettings(tmp_path / "keys"))
    assert "PRIVATE" not in repr(found)


def own(tmp_path: Path, chain: bytes, key: bytes) -> SigningSettings:
    (tmp_path / "own.pem").write_bytes(chain)
    (tmp_path / "own-key.pem").write_bytes(key)
    return SigningSettings(tmp_path / "no", tmp_path / "own.pem", tmp_path / "own-key.pem")


def test_a_pair_of_ones_own_is_used(tmp_path: Path) -> None:
    pair = load_credentials(SigningSettings(tmp_path / "keys"))
    assert load_credentials(own(tmp_path, pair.chain, pair.key)) == pair
    assert not (tmp_path / "no").exists()


def test_a_pair_that_cannot_sign_is_refused(tmp_path: Path) -> None:
    pair = load_credentials(SigningSettings(tmp_path / "keys"))
    other = load_credentials(SigningSettings(tmp_path / "others"))
    authority = (tmp_path / "keys" / credentials.CA_FILE).read_bytes()
    authority_key = (tmp_path / "keys" / credentials.CA_KEY_FILE).read_bytes()
    for chain, key, reason in [
        (pair.chain, other.key, "does not belong"),
        (b"", pair.key, "expected PEM"),
        (pair.chain, b"", "expected PEM"),
        (authority, authority_key, "self-signed"),
    ]:
        with pytest.raises(CredentialsError, match=reason):
            load_credentials(own(tmp_path, chain, key))


def test_an_expired_certificate_is_refused_with_its_dates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "_VALID_FOR", timedelta(hours=-1))
    with pytest.raises(CredentialsError, match=f"to {datetime.now(UTC):%Y}"):
        load_credentials(SigningSettings(tmp_path / "keys"))


def test_half_a_pair_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="only one"):
        load_credentials(SigningSettings(tmp_path / "keys", certificate=tmp_path / "a"))
    missing = SigningSettings(tmp_path / "keys", tmp_path / "a", tmp_path / "b")
    with pytest.raises(CredentialsError, match="cannot be read"):
        load_credentials(missing)
