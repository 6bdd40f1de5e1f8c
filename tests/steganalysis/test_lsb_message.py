"""The reference values were written by Stegano 3.0.0 (`lsb.hide`); reading must be linear."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from artscraper_runner.analysis.steganalysis.lsb_message import read_lsb_message

BY_STEGANO = {
    "Grüße aus 漢字": (
        "iVBORw0KGgoAAAANSUhEUgAAABgAAAAMCAIAAAD3UuoiAAAAZ0lEQVR42u2NsRECQQzEpJ+vkppojKpE4LuL"
        "CcjAgcez3pF8PF9SAlqBGgGkBhYIxQqotbRQuJAQgILVSlCGB+C4DmAso6jo3u15LdzoA3JYW7ZsAa1w7rtd"
        "BI//HJ/PxZfmD/pp0BtKLz+7HOqKAQAAAABJRU5ErkJggg=="
    ),
    "made by hand": (
        "iVBORw0KGgoAAAANSUhEUgAAABgAAAAMCAYAAAB4MH11AAAAYklEQVR42u2OuxWAMAwDT7xMyUwsxlSiUH5A"
        "Q0MXV7Ei66T9OC2MBSAwgJGEcTSqBtigvKKq3sjNRhzJLP1+/E6gmp/UrNK8Dp9vQaljKLh1gzdKvVF8j4AP"
        "s/HzLMACLABcVE0jx1xoXhsAAAAASUVORK5CYII="
    ),
    "漢é!": (
        "iVBORw0KGgoAAAANSUhEUgAAABgAAAAMCAIAAAD3UuoiAAAAUElEQVR42u2NsRGAMAwDX1ymZCYWY6qnwITQ"
        "UaTMF76zJMvZjzNogCBgEhEDJUNQGakU3IMGWtuTVMgrjRZVDPW807rR8Xvwk41JrKJVNIMLKPgcwiMYxOYA"
        "AAAASUVORK5CYII="
    ),
}


def hide(pixels: np.ndarray, stream: bytes) -> np.ndarray:
    """Return `pixels` with the bits of `stream` in their lowest bits."""
    bits = np.unpackbits(np.frombuffer(stream, np.uint8))
    flat = pixels.reshape(-1).copy()
    flat[: len(bits)] = flat[: len(bits)] & 0xFE | bits
    return flat.reshape(pixels.shape)


def noise(height: int = 40, width: int = 31, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("text", BY_STEGANO)
def test_lsb_message_of_stegano_is_read(text: str) -> None:
    with Image.open(io.BytesIO(base64.b64decode(BY_STEGANO[text]))) as image:
        message = read_lsb_message(np.asarray(image.convert("RGB")))
    assert message is not None
    assert message.text == text
    assert message.encoding == ("utf-32-le" if text == "漢é!" else "utf-8")


@pytest.mark.parametrize("size", [1, 9, 10, 99, 400])
def test_messages_of_any_length_are_read(size: int) -> None:
    message = read_lsb_message(hide(noise(), b"%d:" % size + b"x" * size))
    assert message is not None
    assert (message.text, message.size) == ("x" * size, size)


def test_message_filling_the_picture_is_read() -> None:
    capacity = 40 * 31 * 3 // 8
    stream = b"%d:" % (capacity - 4) + b"y" * (capacity - 4)
    assert len(stream) == capacity
    assert read_lsb_message(hide(noise(), stream)) is not None
    assert read_lsb_message(hide(noise(), b"%d:" % (capacity - 3) + stream[4:])) is None


@pytest.mark.parametrize(
    "stream",
    [
        b"0:" + b"a" * 40,
        b"007:bond...",
        b"12345678901:" + b"a" * 40,
        b"5-hello......",
        b":hello.......",
        b"9999999999:aaa",
        b"4:\xff\xfe\xfd\xfc.....",
    ],
)
def test_lsb_message_not_from_stegano_is_ignored(stream: bytes) -> None:
    assert read_lsb_message(hide(noise(), stream)) is None


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 7, 3), (1, 30, 3), (30, 1, 3)])
def test_tiny_pictures_are_read(shape: tuple[int, ...]) -> None:
    assert read_lsb_message(np.zeros(shape, np.uint8)) is None


def test_random_pictures_have_no_message() -> None:
    assert not any(read_lsb_message(noise(12, 12, seed)) for seed in range(2000))


def test_only_the_beginning_is_read_without_message() -> None:
    no_memory_would_hold_it = np.broadcast_to(np.uint8(0), (10**12, 100, 3))
    assert read_lsb_message(no_memory_would_hold_it) is None
