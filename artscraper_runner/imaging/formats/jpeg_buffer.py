"""Save a picture by Pillow, also a JPEG whose coded data outgrows the buffer that Pillow takes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageFile

_BYTES_A_PIXEL = 5  # three channels of noise at the finest tables take less than 4
_SMALL_PIXELS = 1 << 20  # a buffer that is large enough costs little; libjpeg prints its failures
_growing = threading.Lock()


def save_image(
    image: Image.Image, target: Path | BytesIO, name: str, options: dict[str, Any]
) -> None:
    """Write `image` in the format `name` with Pillow's options.

    Pillow codes an optimised or progressive JPEG at once, into two bytes a pixel; noise needs more.

    Raises:
        OSError, ValueError, TypeError, RuntimeError, struct.error: the encoder failed.
    """
    pixels = image.width * image.height
    if name != "JPEG":
        image.save(target, format=name, **options)
    elif pixels <= _SMALL_PIXELS:
        with _buffer_of(_BYTES_A_PIXEL * pixels):
            image.save(target, format=name, **options)
    else:
        _save_large_jpeg(image, target, options)


def _save_large_jpeg(image: Image.Image, target: Path | BytesIO, options: dict[str, Any]) -> None:
    """Save with the usual buffer, and with a larger one if that is too small."""
    try:
        image.save(target, format="JPEG", **options)
    except OSError as error:
        if error.strerror is not None:  # of the disk
            raise
        if isinstance(target, BytesIO):
            target.seek(0)
            target.truncate()
        with _buffer_of(_BYTES_A_PIXEL * image.width * image.height):
            image.save(target, format="JPEG", **options)


@contextmanager
def _buffer_of(size: int) -> Iterator[None]:
    """Let Pillow's buffers hold `size` bytes; it has one number for the whole process."""
    with _growing:
        usual = ImageFile.MAXBLOCK
        ImageFile.MAXBLOCK = max(usual, size)
        try:
            yield
        finally:
            ImageFile.MAXBLOCK = usual
