"""The convolutional code against its definition, and what it corrects; lists of messages."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artscraper_runner.watermarks.convolutional import (
    GENERATORS,
    MEMORY,
    Bits,
    Softs,
    code_length,
    decode,
    encode,
    likeliest_messages,
)


def bits_of(seed: int, count: int) -> Bits:
    return np.random.default_rng(seed).integers(0, 2, count).astype(np.uint8)


def noisy(bits: Bits, *, sigma: float, seed: int = 0) -> Softs:
    noise = np.random.default_rng(seed).normal(0, sigma, code_length(bits.size))
    return (1 - 2.0 * encode(bits) + noise).astype(np.float32)


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
        right += np.array_equal(decode(noisy(bits, sigma=1, seed=seed), 88), bits)
    assert right >= 18


def test_tail_terminates_the_code() -> None:
    assert code_length(88) == (88 + MEMORY) * 3 == 294


def test_list_holds_every_message_once_in_the_order_of_its_likelihood() -> None:
    softs = np.random.default_rng(4).normal(size=code_length(9)).astype(np.float32)
    messages = list(likeliest_messages(softs, 9, most=1 << 9))
    assert len({message.tobytes() for message in messages}) == len(messages) == 1 << 9
    gains = [float(softs @ (1 - 2.0 * encode(message))) for message in messages]
    assert gains == pytest.approx(sorted(gains, reverse=True))
    assert list(likeliest_messages(softs, 9, most=1000))[1 << 9 :] == []


def test_list_begins_with_the_decoded_message_and_keeps_its_order_when_longer() -> None:
    softs = noisy(bits_of(5, 100), sigma=1.5)
    long = [message.tobytes() for message in likeliest_messages(softs, 100, most=50)]
    short = [message.tobytes() for message in likeliest_messages(softs, 100, most=10)]
    assert long[0] == decode(softs, 100).tobytes()
    assert long[:10] == short
    assert len(long) == 50


def test_list_holds_messages_that_decoding_misses() -> None:
    decoded = listed = 0
    for seed in range(20):
        bits = bits_of(seed, 100)
        softs = noisy(bits, sigma=1.6, seed=seed)
        decoded += np.array_equal(decode(softs, 100), bits)
        messages = likeliest_messages(softs, 100, most=1000)
        listed += any(np.array_equal(message, bits) for message in messages)
    assert listed >= decoded + 4


def test_messages_are_found_as_they_are_asked_for() -> None:
    softs = noisy(bits_of(6, 100), sigma=1.0)
    first, second = islice(likeliest_messages(softs, 100, most=1 << 20), 2)
    assert not np.array_equal(first, second)
