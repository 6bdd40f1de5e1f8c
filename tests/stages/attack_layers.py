"""Layers of the attack stages, for the tests of several files."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from PIL import Image

from artscraper_runner.attacks.presets import STRENGTHS
from artscraper_runner.attacks.visibility_budget import stage_bound
from artscraper_runner.options import ProtectionOptions
from artscraper_runner.stages import load_stage, stage_names
from artscraper_runner.stages.latent_attack import LatentAttack
from artscraper_runner.stages.stage import StageInput
from artscraper_runner.types import Controls

ATTACKS = [name for name in stage_names() if isinstance(load_stage(name), LatentAttack)]


def shared_bound(name: str) -> float:
    """Return the bound of a stage in a job of all attacks at medium."""
    return stage_bound(STRENGTHS["medium"].visibility, name, ATTACKS)


def inputs_for(pixels, *, before=None, controls=None, **options) -> StageInput:
    alpha = options.pop("alpha", None)
    return StageInput(
        pixels if before is None else before,
        pixels,
        alpha,
        ProtectionOptions(**options),
        controls or Controls(),
        stages_before=("photoguard",) if before is not None else (),
    )


def applied(name, pixels, **options):
    return load_stage(name).apply(inputs_for(pixels, **options)).pixels


@cache
def _default_layer(name, content, shape):
    layer = applied(name, np.frombuffer(content, np.uint8).reshape(shape).copy())
    layer.setflags(write=False)
    return layer


def default_layer(name, pixels):
    """Return what `applied` makes with default options, attacked once for all tests."""
    return _default_layer(name, pixels.tobytes(), pixels.shape)


def reopened(pixels, how="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, how, **options)
    return np.asarray(Image.open(file))


def largest(before, after) -> int:
    return int(np.abs(before.astype(int) - after.astype(int)).max())
