"""Payloads come out of spectra that carry them, at any shift, and out of no others."""

import numpy as np
import pytest

from artscraper_runner.watermarks.carriers import TILE_PX, layout, signs_of
from artscraper_runner.watermarks.coding import Bits, encode, pack, salted, unpack
from artscraper_runner.watermarks.decoding import decode_anywhere, likeliest_frame, margin
from artscraper_runner.watermarks.folding import Complexes

PAYLOADS = [b"artist 7", b"artscraper"]


def code_of(payload: bytes, *, salt: int | None = 7) -> Bits:
    """Return the code bits; `salt` None: as releases before 0.3 wrote them."""
    frame = pack(payload)
    return encode(frame if salt is None else salted(frame, salt))


def spectrum_of(payload: bytes, *, noise: float, salt: int | None = 7) -> Complexes:
    waves = layout()
    random = np.random.default_rng(0)
    shape = (TILE_PX, TILE_PX)
    spectrum = noise * (random.normal(size=shape) + 1j * random.normal(size=shape))
    spectrum.reshape(-1)[waves.index] += waves.phase * signs_of(code_of(payload, salt=salt))
    return spectrum.astype(np.complex64)


@pytest.mark.parametrize("salt", [None, 0, 4095])
@pytest.mark.parametrize("payload", PAYLOADS)
def test_payload_is_found_at_any_offset(payload: bytes, salt: int | None) -> None:
    spectrum = spectrum_of(payload, noise=0.5, salt=salt)
    frequency = np.fft.fftfreq(TILE_PX)
    turn = np.exp(2j * np.pi * (11 * frequency[:, None] + 77 * frequency[None, :]))
    for moved in (spectrum, spectrum * turn):
        found = decode_anywhere(moved.astype(np.complex64), at_origin=True)
        assert found is not None
        assert found.payload == payload
        assert 0.5 < found.confidence < 1


def test_lost_frequencies_are_tolerated() -> None:
    spectrum = spectrum_of(PAYLOADS[0], noise=0.3)
    frequency = np.fft.fftfreq(TILE_PX, 1 / TILE_PX)
    random = np.random.default_rng(1)
    lost = np.hypot(frequency[:, None], frequency[None, :]) > 17
    spectrum[lost] = random.normal(size=int(lost.sum()))
    found = decode_anywhere(spectrum, at_origin=True)
    assert found is not None
    assert found.payload == PAYLOADS[0]


def test_noise_decodes_to_an_invalid_frame() -> None:
    noise = np.random.default_rng(0).normal(size=(TILE_PX, TILE_PX)).astype(np.complex64)
    assert decode_anywhere(noise, at_origin=True) is None
    assert not unpack(likeliest_frame(noise, 8))[1]


def test_margin_grows_with_the_mark() -> None:
    code = code_of(PAYLOADS[0])
    margins = [margin(spectrum_of(PAYLOADS[0], noise=noise), code) for noise in (0.3, 1, 3)]
    assert margins[0] > margins[1] > 1 > margins[2]
    assert abs(margin(spectrum_of(PAYLOADS[1], noise=0.3), code)) < 0.3
