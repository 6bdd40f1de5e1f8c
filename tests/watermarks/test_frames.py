"""Frames come apart as they were put together, and notice damage."""

import numpy as np
import pytest

from artscraper_runner.errors import InvalidOption
from artscraper_runner.watermarks.frames import frame_bits, pack, unpack


@pytest.mark.parametrize("payload", [bytes(8), b"\xff" * 8, b"0123456789"])
def test_a_frame_gives_its_payload_back(payload: bytes) -> None:
    bits = pack(payload)
    assert bits.size == frame_bits(len(payload))
    assert unpack(bits) == (payload, True)


def test_every_single_wrong_bit_is_noticed() -> None:
    for place in range(frame_bits(8)):
        bits = pack(b"artist 7")
        bits[place] ^= 1
        assert not unpack(bits)[1]


@pytest.mark.parametrize("size", [0, 1, 7, 9, 11])
def test_payloads_of_other_lengths_are_refused(size: int) -> None:
    with pytest.raises(InvalidOption, match=f"found {size}"):
        pack(bytes(size))


def test_noise_has_no_right_checksum() -> None:
    random = np.random.default_rng(0)
    tries = (random.integers(0, 2, frame_bits(8)).astype(np.uint8) for _ in range(500))
    assert not any(unpack(bits)[1] for bits in tries)
