"""The checksum, the code and the frames against their definitions, and against damage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artscraper_runner.errors import InvalidOption
from artscraper_runner.watermarks.coding import (
    GENERATORS,
    MEMORY,
    SALT_BITS,
    Bits,
    checksum,
    code_length,
    decode,
    encode,
    frame_bits,
    likeliest_codeword,
    pack,
    salted,
    unpack,
    unsalted,
)


def bits_of(seed: int, count: int) -> Bits:
    return np.random.default_rng(seed).integers(0, 2, count).astype(np.uint8)


def test_checksum_has_the_catalogued_check_value() -> None:
    """https://reveng.sourceforge.io/crc-catalogue/ lists it for CRC-24/OPENPGP."""
    assert checksum(b"123456789") == 0x21CF02


def test_single_bit_encodes_to_the_generators() -> None:
    code = encode(np.array([1], np.uint8)).reshape(-1, len(GENERATORS))
    for output, generator in enumerate(GENERATORS):
        assert code[:, output].tolist() == [int(bit) for bit in f"{generator:011b}"]


def test_code_is_linear() -> None:
    one, other = bits_of(1, 88), bits_of(2, 88)
    assert np.array_equal(encode(one) ^ encode(other), encode(one ^ other))


@given(st.lists(st.integers(0, 1), min_size=1, max_size=104))
@settings(max_examples=30, deadline=None)
def test_code_is_decoded_without_noise(message: list[int]) -> None:
    bits = np.array(message, np.uint8)
    code = encode(bits)
    assert code.size == code_length(bits.size)
    assert np.array_equal(decode(1 - 2 * code.astype(np.float32), bits.size), bits)


@pytest.mark.parametrize("seed", range(5))
def test_ten_flipped_bits_are_corrected(seed: int) -> None:
    """The free distance is 22."""
    bits = bits_of(seed, 88)
    softs = 1 - 2 * encode(bits).astype(np.float32)
    softs[np.random.default_rng(seed).choice(softs.size, 10, replace=False)] *= -1
    assert np.array_equal(decode(softs, 88), bits)


def test_third_of_the_bits_may_be_missing() -> None:
    bits = bits_of(3, 88)
    softs = 1 - 2 * encode(bits).astype(np.float32)
    softs[np.random.default_rng(3).random(softs.size) < 0.33] = 0
    assert np.array_equal(decode(softs, 88), bits)


def test_noise_of_signal_power_is_corrected() -> None:
    right = 0
    for seed in range(20):
        bits = bits_of(seed, 88)
        noise = np.random.default_rng(seed).normal(0, 1, code_length(88))
        right += np.array_equal(decode((1 - 2.0 * encode(bits) + noise).astype("f4"), 88), bits)
    assert right >= 18


def test_tail_terminates_the_code() -> None:
    assert code_length(88) == (88 + MEMORY) * 3 == 294


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
