"""Payloads come out of spectra that carry them, at any shift, and out of no others."""

import numpy as np
import pytest

from artscraper_runner.watermarks import decoding
from artscraper_runner.watermarks.carriers import TILE_PX, layout, signs_of
from artscraper_runner.watermarks.coding import pack, salted, unpack
from artscraper_runner.watermarks.convolutional import Bits, encode
from artscraper_runner.watermarks.decoding import (
    decode_anywhere,
    decode_whole,
    likeliest_frame,
    margin,
)
from artscraper_runner.watermarks.folding import Complexes

PAYLOADS = [b"artist 7", b"artscraper"]


def code_of(payload: bytes, *, salt: int | None = 7) -> Bits:
    """Return the code bits; `salt` None: as releases before 0.3 wrote them."""
    frame = pack(payload)
    return encode(frame if salt is None else salted(frame, salt))


def spectrum_of(payload: bytes, *, noise: float, salt: int | None = 7, seed: int = 0) -> Complexes:
    waves = layout()
    random = np.random.default_rng(seed)
    shape = (TILE_PX, TILE_PX)
    spectrum = noise * (random.normal(size=shape) + 1j * random.normal(size=shape))
    spectrum.reshape(-1)[waves.index] += waves.phase * signs_of(code_of(payload, salt=salt))
    return spectrum.astype(np.complex64)


def moved_by(spectrum: Complexes, *, row: int, column: int) -> Complexes:
    frequency = np.fft.fftfreq(TILE_PX)
    turn = np.exp(2j * np.pi * (row * frequency[:, None] + column * frequency[None, :]))
    return (spectrum * turn).astype(np.complex64)


@pytest.mark.parametrize("salt", [None, 0, 4095])
@pytest.mark.parametrize("payload", PAYLOADS)
def test_payload_is_found_at_any_offset(payload: bytes, salt: int | None) -> None:
    spectrum = spectrum_of(payload, noise=0.5, salt=salt)
    moved = moved_by(spectrum, row=11, column=77)
    for found in (decode_whole(spectrum, 512, 768), decode_anywhere(moved)):
        assert found is not None
        assert found.payload == payload
        assert 0.5 < found.confidence < 1
    assert decode_whole(moved, 512, 768) is None


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_whole_picture_is_read_in_every_orientation(turns: int, mirrored: bool) -> None:
    """By the size of the picture alone: a search for the shift needs a louder mark."""
    height, width = 530, 700
    tile = np.fft.ifft2(spectrum_of(PAYLOADS[0], noise=0)).real
    luma = np.tile(tile, (5, 6))[:height, :width]
    turned = np.rot90(luma[:, ::-1] if mirrored else luma, turns)
    folded = np.zeros((TILE_PX, TILE_PX))
    rows, columns = np.indices(turned.shape) % TILE_PX
    np.add.at(folded, (rows, columns), turned)
    found = decode_whole(np.fft.fft2(folded).astype(np.complex64), *turned.shape)
    assert found is not None
    assert found.payload == PAYLOADS[0]


def test_faint_mark_is_read_from_the_list_of_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    spectra = [spectrum_of(PAYLOADS[0], noise=2.5, seed=seed) for seed in range(12)]

    def readings() -> int:
        return sum(decode_whole(spectrum, 512, 512) is not None for spectrum in spectra)

    listed = readings()
    monkeypatch.setattr(decoding, "MOST_MESSAGES", 1)
    assert listed >= readings() + 3


def test_lost_frequencies_are_tolerated() -> None:
    spectrum = spectrum_of(PAYLOADS[0], noise=0.3)
    frequency = np.fft.fftfreq(TILE_PX, 1 / TILE_PX)
    random = np.random.default_rng(1)
    lost = np.hypot(frequency[:, None], frequency[None, :]) > 17
    spectrum[lost] = random.normal(size=int(lost.sum()))
    found = decode_anywhere(spectrum)
    assert found is not None
    assert found.payload == PAYLOADS[0]


def test_noise_decodes_to_an_invalid_frame() -> None:
    noise = np.random.default_rng(0).normal(size=(TILE_PX, TILE_PX)).astype(np.complex64)
    assert decode_anywhere(noise) is None
    assert decode_whole(noise, 512, 512) is None
    assert not unpack(likeliest_frame(noise, 8))[1]


def test_margin_grows_with_the_mark() -> None:
    code = code_of(PAYLOADS[0])
    margins = [margin(spectrum_of(PAYLOADS[0], noise=noise), code) for noise in (0.3, 1, 3)]
    assert margins[0] > margins[1] > 1 > margins[2]
    assert abs(margin(spectrum_of(PAYLOADS[1], noise=0.3), code)) < 0.3
