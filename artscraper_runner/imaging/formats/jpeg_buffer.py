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
_growing = threading.Lock()


def save_image(
    image: Image.Image, target: Path | BytesIO, name: str, options: dict[str, Any]
) -> None:
    """Write `image` in the format `name` with Pillow's options.

    Pillow codes an optimised or progressive JPEG at once, into two bytes a pixel; noise needs more.

    Raises:
        OSError, ValueError, TypeError, RuntimeError, struct.error: the encoder failed.
    """
    try:
        image.save(target, format=name, **options)
    except OSError as error:
        if name != "JPEG" or error.strerror is not None:  # strerror: of the disk
            raise
        if isinstance(target, BytesIO):
            target.seek(0)
            target.truncate()
        with _buffer_of(_BYTES_A_PIXEL * image.width * image.height):
            image.save(target, format=name, **options)


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
