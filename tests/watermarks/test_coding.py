"""The checksum, the frames and their salts against their definitions, and against damage."""

import numpy as np
import pytest

from artscraper_runner.errors import InvalidOption
from artscraper_runner.watermarks.coding import (
    SALT_BITS,
    checksum,
    frame_bits,
    likeliest_codeword,
    pack,
    salted,
    unpack,
    unsalted,
)
from artscraper_runner.watermarks.convolutional import code_length, decode, encode


def test_checksum_has_the_catalogued_check_value() -> None:
    """https://reveng.sourceforge.io/crc-catalogue/ lists it for CRC-24/OPENPGP."""
    assert checksum(b"123456789") == 0x21CF02


@pytest.mark.parametrize("payload", [bytes(8), b"\xff" * 8, b"0123456789"])
def test_frame_round_trips(payload: bytes) -> None:
    bits = pack(payload)
    assert bits.size == frame_bits(len(payload))
    assert unpack(bits) == (payload, True)


def test_every_single_bit_error_is_detected() -> None:
    for place in range(frame_bits(8)):
        bits = pack(b"artist 7")
        bits[place] ^= 1
        assert not unpack(bits)[1]


@pytest.mark.parametrize("size", [0, 1, 7, 9, 11])
def test_payloads_of_invalid_length_are_refused(size: int) -> None:
    with pytest.raises(InvalidOption, match=f"found {size}"):
        pack(bytes(size))


def test_noise_fails_the_checksum() -> None:
    random = np.random.default_rng(0)
    tries = (random.integers(0, 2, frame_bits(8)).astype(np.uint8) for _ in range(500))
    assert not any(unpack(bits)[1] for bits in tries)


@pytest.mark.parametrize("payload", [b"artist 7", b"artscraper"])
def test_every_salt_leads_back_to_the_frame(payload: bytes) -> None:
    frame = pack(payload)
    messages = {bytes(salted(frame, salt)) for salt in range(1 << SALT_BITS)}
    assert len(messages) == 1 << SALT_BITS
    assert all(bytes(unsalted(np.frombuffer(each, np.uint8))) == bytes(frame) for each in messages)


def test_salts_mix_in_the_bits_that_earlier_marks_were_written_with() -> None:
    """Another stream of bits would make every mark unreadable."""
    first, last = (salted(pack(bytes(8)), salt) for salt in (1, 4095))
    assert np.packbits(first).tobytes().hex() == "0010577fe509e50f1bf2ab24f0"
    assert np.packbits(last).tobytes().hex() == "fff477b5bb9dd8d34bb83ca420"


@pytest.mark.parametrize("payload", [b"artist 7", b"artscraper"])
def test_likeliest_codeword_agrees_most_and_carries_the_frame(payload: bytes) -> None:
    frame = pack(payload)
    size = frame.size + SALT_BITS
    softs = np.random.default_rng(2).normal(size=code_length(size)).astype(np.float32)
    chosen = likeliest_codeword(frame, softs)
    assert np.array_equal(unsalted(decode(1 - 2 * chosen.astype(np.float32), size)), frame)
    others = [encode(salted(frame, salt)) for salt in range(0, 1 << SALT_BITS, 16)]
    agreement = [float(softs @ (1 - 2 * code.astype(np.float32))) for code in (chosen, *others)]
    assert agreement[0] >= max(agreement) > 2 * np.std(agreement)
