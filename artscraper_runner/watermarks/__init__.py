"""Invisible watermarks: one module per algorithm, pure functions from pixels to pixels.

`tiled_spread_spectrum` is the default, `dwt_dct_svd` the one that the package invisible-watermark
reads. Both offer `embed(pixels, payload)` and `bit_accuracy(pixels, payload)` on uint8 sRGB arrays
of shape (H, W, 3). Only the first has a checksum, so only it is read without knowing what to look
for: `read_watermark`.
"""

from artscraper_runner.watermarks.reading import Reading as Reading
from artscraper_runner.watermarks.reading import read_watermark as read_watermark
