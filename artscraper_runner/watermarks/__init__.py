"""Invisible watermarks: one module per algorithm, pure functions from pixels to pixels.

Every module offers `embed(pixels, payload)`, `read(pixels, payload_bytes)` and
`bit_accuracy(pixels, payload)` on uint8 sRGB arrays of shape (H, W, 3).
"""
