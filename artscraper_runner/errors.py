"""The one error tree of `artscraper_runner`; each error carries its facts as attributes."""


class RunnerError(Exception):
    """Base of every error this package raises on purpose."""


class UnsupportedPixels(RunnerError):
    """An array is not a picture in the layout that was asked for."""

    def __init__(self, *, shape: tuple[int, ...], dtype: str, expected: str) -> None:
        super().__init__(f"expected {expected}; got shape {shape} of {dtype}")
        self.shape = shape
        self.dtype = dtype
        self.expected = expected


class PictureTooSmall(RunnerError):
    """A picture has too few pixels for what was asked of it."""

    def __init__(self, *, height: int, width: int, min_pixels: int) -> None:
        super().__init__(
            f"expected a picture of at least {min_pixels} pixels; "
            f"got {width} x {height} = {height * width}"
        )
        self.height = height
        self.width = width
        self.min_pixels = min_pixels


class PayloadSizeError(RunnerError):
    """A watermark payload is empty or longer than the picture holds."""

    def __init__(self, *, payload_bytes: int, max_bytes: int) -> None:
        super().__init__(
            f"expected a payload of 1 to {max_bytes} bytes for this picture; got {payload_bytes}"
        )
        self.payload_bytes = payload_bytes
        self.max_bytes = max_bytes
