"""Invisible watermark that the package invisible-watermark reads as its `dwtDctSvd`.

The picture is cut into blocks of 8 x 8 pixels in raster order; block k carries payload bit
k mod n (most significant bit of the first byte first). In each block:

1. U = 0.492 (B - Y) + 128 is averaged over 2 x 2 pixels and doubled: the 4 x 4 LL band of the
   orthonormal Haar transform.
2. Its largest singular value s is quantised (QIM): s mod 36 becomes 9 for a 0, 27 for a 1.

Every U is above 16, so a block is a positive matrix: s is at least 8 * 16 and simple, with
positive singular vectors, also in flat, black and white pictures.

After Navas, Ajay, Lijo, Archana & Sasikumar, "DWT-DCT-SVD based watermarking" (COMSWARE 2008),
and Chen & Wornell, "Quantization index modulation" (IEEE Trans. Inf. Theory 47(4), 2001), in the
variant of invisible-watermark 0.2.0. That package decodes what `embed` marks and `read` decodes
what it marks, but `embed` makes other, smaller changes:

- No DCT is taken: it is orthonormal, so it leaves singular values and the change alike.
- s moves to the nearest valid value; upstream stays in its cell, which costs 2.4 dB.
- Only LL changes, so no inverse transform is needed; upstream's swaps two bands by mistake.
- The change is added to RGB and rounded once, with an ordered dither, instead of a trip
  through 8-bit YUV and a truncation.
- A colour that would leave [0, 255] slides along the grey axis, which keeps U, and is clipped
  only then; so black and white carry the mark too.
- `read` weighs each block by how clearly it speaks; upstream counts every block alike.
- Pixels right of and below the last whole block are unchanged.

Not guaranteed: paintings and photographs kept the mark at JPEG quality 90 and through scaling
to half and back to the old size; flat colour may lose it at 90, most pictures below 75. A crop,
a change of size or greyscale ends it. There is no error correction and no checksum: an unmarked
picture reads as noise. Flat pure green and magenta come out at 36 and 33 dB PSNR, where the
other flat colours measured have 41 dB or more.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from artscraper_runner.errors import PayloadSizeError, PictureTooSmall
from artscraper_runner.watermarks import Pixels, check_layout

Floats = npt.NDArray[np.float32]
Levels = npt.NDArray[np.int16]

MIN_SIDE = 256  # upstream refuses height * width < 256 * 256, not the single side
BLOCK_PX = 8
STEP = np.float32(36.0)  # upstream's scale, in units of the singular value
BAND_PIXELS = 1 << 18  # worked on at once, so that a band's arrays stay in the cache

# ITU-R BT.601 luma with the 8-bit U of OpenCV, weights of R, G, B; neutral is 128.
U_WEIGHTS = np.array([-0.147108, -0.288804, 0.435912], np.float32)
U_NEUTRAL = np.float32(128.0)
# What one unit of U adds to G and B while Y and V stay; R is left alone.
GREEN_PER_U = np.float32(-0.394)
BLUE_PER_U = np.float32(2.032)
# Pure yellow has the least U, 16.8, so s / STEP < 3.74 cannot be had; an eighth is to spare.
LEAST_CELL = np.float32(3.74 - 0.125)
# What `find` asks for. Of 31 unmarked pictures and their JPEGs none passed 0.05 and 0.23.
LEAST_BLOCKS = 1024
MOST_BLOCKS = 60_000  # from the top: a larger picture says no more
LEAST_VALID = 0.12  # mean of -cos over the blocks, -1 to 1
LEAST_AGREEMENT = 0.5  # 0 to 1
LEAST_CELLS = 8  # valid places that have a 200th of the blocks each
LONGEST_FOUND = 32  # bytes
# Bayer's 4 x 4 ordered dither (1973): the rounding errors of a block cancel in its sum.
DITHER = (
    (np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]], np.float32) + 0.5)
    / 16
)[:, :, None]


def embed(pixels: Pixels, payload: bytes) -> Pixels:
    """Return a copy of a picture that carries `payload`.

    Args:
        pixels: uint8 (H, W, 3), sRGB; any memory layout; not modified.
        payload: 1 byte to one bit per 8 x 8 block, here (H // 8) * (W // 8) // 8 bytes.

    Returns:
        uint8 (H, W, 3), C-contiguous; the same bytes for the same arguments.

    Raises:
        UnsupportedPixels: `pixels` is not uint8 (H, W, 3).
        PictureTooSmall: H * W < MIN_SIDE ** 2, where upstream refuses too. A shorter side
            below MIN_SIDE is allowed if the area suffices.
        PayloadSizeError: the payload is empty or too long.
    """
    _check(pixels, len(payload))
    bits = np.unpackbits(np.frombuffer(payload, np.uint8))
    offset_of_bit = np.array([0.25, 0.75], np.float32)
    marked = np.array(pixels, order="C")
    block = 0
    for band in _bands(marked):
        value, left, right = _largest_singular_triple(_ll_blocks(_unrounded_u(band)))
        offset = offset_of_bit[bits[_turns(block, value.size, bits.size)]]
        cell = np.maximum(np.rint(value / STEP - offset), np.ceil(LEAST_CELL - offset))
        change = (cell + offset) * STEP - value
        _add_to_u(band, left[:, None] * (right * (change / 2)))  # LL is twice the mean of U
        block += value.size
    return marked


def read(pixels: Pixels, payload_bytes: int) -> bytes:
    """Return the `payload_bytes` bytes that a marked picture carries; noise if it has no mark.

    Args:
        pixels: uint8 (H, W, 3), sRGB, of the size at which it was marked; any memory layout.
        payload_bytes: length of the payload when it was embedded, in bytes.

    Raises:
        UnsupportedPixels, PictureTooSmall, PayloadSizeError: as `embed` does.
    """
    _check(pixels, payload_bytes)
    length = 8 * payload_bytes
    votes = np.zeros(length)
    block = 0
    for band in _bands(pixels):
        value, _, _ = _largest_singular_triple(_ll_blocks(_rounded_u(band)))
        vote = -np.sin(value * (2 * np.pi / STEP))  # -1 at a 0's value, +1 at a 1's
        turns = _turns(block, value.size, length)
        votes += np.bincount(turns, weights=vote, minlength=length)
        block += value.size
    return np.packbits(votes > 0).tobytes()


def find(pixels: Pixels) -> bytes | None:
    """Return the payload of a picture that seems to carry this mark, of unknown length.

    There is no checksum, so two signs must agree: the singular values of most blocks lie near
    valid places, and blocks that would carry the same bit of a payload of 1 to 32 bytes say the
    same. Stripes do that too, so the values must lie at many places; and a payload of equal bits
    cannot be distinguished from a flat picture, and is not returned.
    """
    check_layout(pixels)
    height, width, _ = pixels.shape
    if (height // BLOCK_PX) * (width // BLOCK_PX) < LEAST_BLOCKS:
        return None
    rows = max(MOST_BLOCKS // (width // BLOCK_PX), 1) * BLOCK_PX
    values = np.concatenate(
        [_largest_singular_triple(_ll_blocks(_rounded_u(b)))[0] for b in _bands(pixels[:rows])]
    )
    cells = np.bincount(np.rint(values * (2 / STEP)).astype(np.intp))
    if (cells > values.size / 200).sum() < LEAST_CELLS:
        return None
    angle = values * (2 * np.pi / STEP)
    if -float(np.cos(2 * angle).mean()) < LEAST_VALID:  # 1 if all lie at valid places
        return None
    votes = -np.sin(angle)
    sums = [
        np.bincount(_turns(0, votes.size, 8 * size), weights=votes, minlength=8 * size)
        for size in range(1, LONGEST_FOUND + 1)
    ]
    agreements = np.array([np.abs(each).sum() for each in sums]) / votes.size
    # Multiples of the payload's length agree as well as that.
    likely = np.flatnonzero(agreements > max(LEAST_AGREEMENT, 0.9 * float(agreements.max())))
    if not likely.size:
        return None
    bits = sums[likely[0]] > 0
    return np.packbits(bits).tobytes() if 0 < bits.sum() < bits.size else None


def bit_accuracy(pixels: Pixels, payload: bytes) -> float:
    """Return the share, in [0, 1], of the bits of `payload` that `read` gets right.

    An unmarked picture scores about 0.5. Raises what `read` raises.
    """
    decoded = np.frombuffer(read(pixels, len(payload)), np.uint8)
    wrong = np.unpackbits(decoded ^ np.frombuffer(payload, np.uint8))
    return 1.0 - float(wrong.mean())


def _check(pixels: Pixels, payload_bytes: int) -> None:
    check_layout(pixels)
    height, width, _ = pixels.shape
    if height * width < MIN_SIDE**2:
        raise PictureTooSmall(height=height, width=width, min_pixels=MIN_SIDE**2)
    capacity = (height // BLOCK_PX) * (width // BLOCK_PX) // 8
    if not 1 <= payload_bytes <= capacity:
        raise PayloadSizeError(payload_bytes=payload_bytes, max_bytes=capacity)


def _bands(pixels: Pixels) -> Iterator[Pixels]:
    """Yield views of whole block rows, top to bottom, that together hold every whole block."""
    height, width = (side // BLOCK_PX * BLOCK_PX for side in pixels.shape[:2])
    rows = max(BAND_PIXELS // width // BLOCK_PX, 1) * BLOCK_PX
    for top in range(0, height, rows):
        yield pixels[top : min(top + rows, height), :width]


def _turns(first: int, count: int, length: int) -> npt.NDArray[np.intp]:
    """Return which of `length` bits each block from number `first` on carries."""
    return np.arange(first, first + count) % length


def _unrounded_u(band: Pixels) -> Floats:
    """Return U, float32 (H, W) in [16.8, 239.2], to measure a picture before it is marked.

    Upstream's reader sees Y and U rounded, which moves s by less than 6 of the 9 allowed.
    """
    red, green, blue = U_WEIGHTS
    u: Floats = band[:, :, 0] * red + band[:, :, 1] * green + band[:, :, 2] * blue + U_NEUTRAL
    return u


def _rounded_u(band: Pixels) -> Floats:
    """Return U, float32 (H, W), in the whole levels that upstream marks and reads.

    On flat colour their rounding does not average out, so `read` has to see the same.
    """
    red, green, blue = (band[:, :, channel].astype(np.int32) for channel in range(3))
    # OpenCV's fixed-point BT.601: weights times 2 ** 14, and half a level to round.
    luma = (red * 4899 + green * 9617 + blue * 1868 + (1 << 13)) >> 14
    u = ((blue - luma) * 8061 + (128 << 14) + (1 << 13)) >> 14
    return u.astype(np.float32)


def _ll_blocks(u: Floats) -> Floats:
    """Return the Haar LL band of U as (4, 4, blocks), in [33, 479], blocks in raster order."""
    pairs = u[0::2] + u[1::2]
    ll: Floats = (pairs[:, 0::2] + pairs[:, 1::2]) * np.float32(0.5)
    rows, columns = ll.shape
    tiles = ll.reshape(rows // 4, 4, columns // 4, 4)
    return tiles.transpose(1, 3, 0, 2).reshape(4, 4, -1)


def _largest_singular_triple(blocks: Floats) -> tuple[Floats, Floats, Floats]:
    """Return s (blocks), left (4, blocks) and right (4, blocks) of (4, 4, blocks) matrices.

    Power iteration. The entries lie in [33, 479], so by Birkhoff's contraction theorem a round
    trip shrinks the error to 0.76 of it or less, in every block; most settle after two or three.
    """
    right = blocks.sum(axis=0)
    right /= np.sqrt(np.square(right).sum(axis=0))
    value = np.zeros(blocks.shape[2], np.float32)
    settled = False
    while not settled:
        left = (blocks * right).sum(axis=1)
        left /= np.sqrt(np.square(left).sum(axis=0))
        right = (blocks * left[:, None]).sum(axis=0)
        before, value = value, np.sqrt(np.square(right).sum(axis=0))
        right /= value
        settled = bool(np.abs(value - before).max() < 0.01)
    return value, left, right


def _add_to_u(band: Pixels, change: Floats) -> None:
    """Add `change` (4, 4, blocks), in levels of U, to the 2 x 2 pixels of each LL coefficient."""
    shape = band.shape[0] // 2, band.shape[1] // 2
    green = _as_plane(np.floor(change * GREEN_PER_U + DITHER), shape)
    blue = _as_plane(np.floor(change * BLUE_PER_U + DITHER), shape)
    for row in 0, 1:
        for column in 0, 1:
            _add_levels(band[row::2, column::2], green, blue)


def _as_plane(blocks: Floats, shape: tuple[int, int]) -> Levels:
    rows, columns = shape
    tiles = blocks.astype(np.int16).reshape(4, 4, rows // 4, columns // 4)
    return tiles.transpose(2, 0, 3, 1).reshape(shape)


def _add_levels(pixels: Pixels, green: Levels, blue: Levels) -> None:
    green = pixels[:, :, 1] + green
    blue = pixels[:, :, 2] + blue
    outside = ((green | blue) & ~255) != 0
    if outside.any():
        red = pixels[:, :, 0][outside].astype(np.int16)
        colours = _into_gamut(np.stack([red, green[outside], blue[outside]]))
        pixels[:, :, 0][outside], green[outside], blue[outside] = colours
    pixels[:, :, 1] = green
    pixels[:, :, 2] = blue


def _into_gamut(colours: Levels) -> Levels:
    """Return colours (3, n) within [0, 255] of the same U, as far as RGB has them."""
    grey = np.maximum(-colours.min(axis=0), 0) - np.maximum(colours.max(axis=0) - 255, 0)
    slid = colours + grey
    clipped: Levels = np.clip(slid, 0, 255)
    lost = U_WEIGHTS @ (slid - clipped).astype(np.float32)
    clipped[0] = np.clip(np.rint(clipped[0] + lost / U_WEIGHTS[0]), 0, 255)
    return clipped
