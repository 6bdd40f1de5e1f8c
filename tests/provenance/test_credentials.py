"""Signing credentials: a configured pair, or a private CA that is created once."""

import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from artscraper_runner.errors import CredentialsError
from artscraper_runner.options import SigningSettings
from artscraper_runner.provenance import private_ca
from artscraper_runner.provenance.credentials import load_credentials

x509 = pytest.importorskip("cryptography.x509", reason="needs the extra c2pa")

from .certificates import AUTHORITY, LEAF, key_pem, own_pair  # noqa: E402

KEYS = (private_ca.KEY_FILE, private_ca.CA_KEY_FILE)


def test_ca_is_created_once_with_private_keys(tmp_path: Path) -> None:
    settings = SigningSettings(tmp_path / "keys")
    first = load_credentials(settings)
    assert load_credentials(settings) == first
    for name in KEYS:
        assert stat.S_IMODE((tmp_path / "keys" / name).stat().st_mode) == 0o600
    leaf, authority = x509.load_pem_x509_certificates(first.chain)
    leaf.verify_directly_issued_by(authority)
    assert first.chain.endswith((tmp_path / "keys" / private_ca.CA_FILE).read_bytes())


def test_concurrent_workers_share_one_ca(tmp_path: Path) -> None:
    settings = SigningSettings(tmp_path / "keys")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(load_credentials, [settings] * 8))
    assert len({pair.chain for pair in found}) == 1
    names = {private_ca.CHAIN_FILE, private_ca.CA_FILE, *KEYS}
    assert {path.name for path in tmp_path.rglob("*")} == {"keys", *names}


DIE_BEFORE_THE_LAST_FILE_IS_IN_PLACE = """
import os, signal, sys
from pathlib import Path
from artscraper_runner.provenance.credentials import load_credentials
from artscraper_runner.options import SigningSettings
Path.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)
load_credentials(SigningSettings(Path(sys.argv[1])))
"""


@pytest.mark.system
def test_killed_worker_leaves_one_set_of_keys(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    code = [sys.executable, "-c", DIE_BEFORE_THE_LAST_FILE_IS_IN_PLACE, str(folder)]
    assert subprocess.run(code, check=False).returncode == -signal.SIGKILL
    assert (folder / private_ca.KEY_FILE).exists() and not (folder / private_ca.CHAIN_FILE).exists()
    found = load_credentials(SigningSettings(folder))
    assert load_credentials(SigningSettings(folder)) == found
    names = {private_ca.CHAIN_FILE, private_ca.CA_FILE, *KEYS}
    assert {path.name for path in tmp_path.rglob("*")} == {"keys", *names}
    for name in KEYS:
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def test_own_key_with_wide_permissions_is_refused(tmp_path: Path) -> None:
    settings = SigningSettings(tmp_path / "keys")
    load_credentials(settings)
    (tmp_path / "keys" / private_ca.KEY_FILE).chmod(0o644)
    with pytest.raises(CredentialsError, match="mode 0644"):
        load_credentials(settings)


def test_key_is_not_printed(tmp_path: Path) -> None:
    found = load_credentials(SigningSettings(tmp_path / "keys"))
    assert "PRIVATE" not in repr(found)


def test_configured_pair_is_used(tmp_path: Path) -> None:
    found = load_credentials(own_pair(tmp_path, LEAF.pem() + AUTHORITY.pem(), key_pem()))
    assert found.key == key_pem()
    assert not (tmp_path / "no").exists()


def test_expired_ca_is_refused_with_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_ca, "VALID_FOR", timedelta(hours=-1))
    with pytest.raises(CredentialsError, match=f"to {datetime.now(UTC):%Y}") as caught:
        load_credentials(SigningSettings(tmp_path / "keys"))
    assert "remove the folder of the private CA" in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_incomplete_pair_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="only one"):
        load_credentials(SigningSettings(tmp_path / "keys", certificate=tmp_path / "a"))
    missing = SigningSettings(tmp_path / "keys", tmp_path / "a", tmp_path / "b")
    with pytest.raises(CredentialsError, match="cannot be read"):
        load_credentials(missing)
    folder = SigningSettings(tmp_path / "keys", tmp_path, tmp_path)
    with pytest.raises(CredentialsError, match="cannot be read"):
        load_credentials(folder)


def test_unwritable_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CredentialsError, match="no signing key can be made"):
        load_credentials(SigningSettings(tmp_path / "file" / "keys"))
