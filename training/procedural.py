"""Drawn pictures without end: what the few real pictures do not show.

Each picture is a background (power-law noise, a gradient, a periodic texture or a flat colour)
under layers of dead leaves, brush strokes and lettering. Dead leaves and power-law noise share
their second-order statistics with natural pictures (Lee, Mumford and Huang 2001).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

T = TypeVar("T")
Colour = tuple[int, int, int]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789&?!,.;"


def picture(rng: np.random.Generator, *, size: int) -> Image.Image:
    """Return one drawn RGB picture of ``size`` x ``size`` pixels."""
    canvas = _pick(rng, BACKGROUNDS)(rng, size)
    for _ in range(int(rng.integers(1, 4))):
        _pick(rng, LAYERS)(rng, canvas)
    canvas = ImageEnhance.Color(canvas).enhance(rng.uniform(0.1, 1.0))  # full colours are rare
    if rng.random() < 0.4:
        canvas = canvas.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.5)))
    if rng.random() < 0.5:
        canvas = _grainy(rng, canvas)
    return canvas


def power_law_noise(rng: np.random.Generator, size: int) -> Image.Image:
    """Return noise whose amplitude falls as 1 / frequency ** beta, beta in 0.6 to 2."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = 1.0
    weight = frequency ** -rng.uniform(0.6, 2.0)
    white = rng.standard_normal((3, size, size))
    white += rng.uniform(0.0, 2.0) * white[:1]  # channels agree more or less
    field = np.fft.irfft2(np.fft.rfft2(white) * weight, s=(size, size))
    field = (field - field.mean()) / field.std()
    offset = rng.uniform(-60, 60, 3)[:, None, None]
    return _image(128 + field * rng.uniform(20, 60) + offset)


def gradient(rng: np.random.Generator, size: int) -> Image.Image:
    """Return a smooth passage between two colours, straight or round."""
    y, x = np.mgrid[0:size, 0:size] / size
    if rng.random() < 0.5:
        angle = rng.uniform(0, 2 * math.pi)
        ramp = x * math.cos(angle) + y * math.sin(angle)
    else:
        ramp = np.hypot(x - rng.uniform(0, 1), y - rng.uniform(0, 1))
    ramp = (ramp - ramp.min()) / np.ptp(ramp)
    first, second = (rng.uniform(0, 255, 3)[:, None, None] for _ in range(2))
    return _image(first + (second - first) * ramp ** rng.uniform(0.5, 2.0))


def texture(rng: np.random.Generator, size: int) -> Image.Image:
    """Return a sum of a few plane waves per channel: weaves, hatchings, ripples."""
    y, x = np.mgrid[0:size, 0:size]
    field = np.zeros((3, size, size))
    for _ in range(int(rng.integers(1, 5))):
        angle, period = rng.uniform(0, math.pi), np.exp(rng.uniform(np.log(3), np.log(80)))
        phase = (x * math.cos(angle) + y * math.sin(angle)) / period + rng.uniform()
        wave = np.sin(2 * math.pi * phase)
        field += rng.uniform(-40, 40, 3)[:, None, None] * (
            np.sign(wave) if rng.random() < 0.3 else wave
        )
    return _image(field + rng.uniform(40, 215, 3)[:, None, None])


def flat(rng: np.random.Generator, size: int) -> Image.Image:
    """Return one colour: paper, sky, a wall."""
    return Image.new("RGB", (size, size), _colour(rng, rng.uniform(0, 255, 3), 0))


def dead_leaves(rng: np.random.Generator, canvas: Image.Image) -> None:
    """Cover the canvas with ellipses and polygons whose radii follow a power law."""
    draw, palette = ImageDraw.Draw(canvas), rng.uniform(0, 255, (5, 3))
    for _ in range(int(rng.integers(20, 300))):
        radius = min(canvas.width / 3, 6 * (rng.pareto(1.5) + 0.3))
        x, y = rng.uniform(0, canvas.width, 2)
        fill = _colour(rng, palette[rng.integers(5)], 20)
        if rng.random() < 0.5:
            flatness = rng.uniform(0.3, 1)
            box = (x - radius, y - radius * flatness, x + radius, y + radius * flatness)
            draw.ellipse(box, fill=fill)
        else:
            angles = np.sort(rng.uniform(0, 2 * math.pi, int(rng.integers(3, 7))))
            corners = [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles]
            draw.polygon(corners, fill=fill)


def strokes(rng: np.random.Generator, canvas: Image.Image) -> None:
    """Brush strokes along a slowly turning flow, as in impasto or hatching."""
    draw, palette = ImageDraw.Draw(canvas), rng.uniform(0, 255, (4, 3))
    flow, turn = rng.uniform(0, 2 * math.pi), rng.uniform(-0.02, 0.02, 2)
    length, width = rng.uniform(8, 50), int(rng.integers(1, 9))
    for _ in range(int(rng.integers(50, 500))):
        x, y = rng.uniform(0, canvas.width, 2)
        angle = flow + turn[0] * x + turn[1] * y + rng.normal(0, 0.2)
        dx, dy = length * math.cos(angle), length * math.sin(angle)
        bend = rng.normal(0, length / 6, 2)
        middle = (x + dx / 2 + bend[0], y + dy / 2 + bend[1])
        fill = _colour(rng, palette[rng.integers(4)], 25)
        draw.line([(x, y), middle, (x + dx, y + dy)], fill=fill, width=width, joint="curve")


def lettering(rng: np.random.Generator, canvas: Image.Image) -> None:
    """Draw a few lines of letters in one colour, from fine print to headlines."""
    draw = ImageDraw.Draw(canvas)
    height = float(np.exp(rng.uniform(np.log(8), np.log(70))))
    font = ImageFont.load_default(height)
    fill = _colour(rng, rng.uniform(0, 255, 3), 0)
    for line in range(int(rng.integers(1, 8))):
        words = "".join(rng.choice(list(LETTERS + " " * 12), 40))
        left = rng.uniform(-0.2, 0.5) * canvas.width
        draw.text((left, (line + rng.uniform()) * height * 1.3), words, fill=fill, font=font)


def _grainy(rng: np.random.Generator, canvas: Image.Image) -> Image.Image:
    grain = rng.normal(0, rng.uniform(1, 10), (3, canvas.height, canvas.width))
    return _image(np.asarray(canvas, dtype=np.float64).transpose(2, 0, 1) + grain)


def _image(channels: np.ndarray) -> Image.Image:
    pixels = np.clip(channels, 0, 255).round().astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def _colour(rng: np.random.Generator, mean: np.ndarray, spread: float) -> Colour:
    red, green, blue = np.clip(rng.normal(mean, spread), 0, 255).astype(int)
    return int(red), int(green), int(blue)


def _pick(rng: np.random.Generator, options: tuple[T, ...]) -> T:
    return options[rng.integers(len(options))]


BACKGROUNDS: tuple[Callable[[np.random.Generator, int], Image.Image], ...] = (
    power_law_noise,
    power_law_noise,
    gradient,
    texture,
    flat,
)
LAYERS: tuple[Callable[[np.random.Generator, Image.Image], None], ...] = (
    dead_leaves,
    dead_leaves,
    strokes,
    lettering,
)
