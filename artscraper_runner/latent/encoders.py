"""The encoders of a run: the one that is attacked, and one that no attack looked through."""

from __future__ import annotations

import threading
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.attacks.evaluation import Observer, effect_record
from artscraper_runner.attacks.run_cache import RunCache
from artscraper_runner.errors import RunnerError
from artscraper_runner.models import load_encoder, standby_encoders
from artscraper_runner.models.protocol import Encoder, EncoderOptions, QuadraticObjective
from artscraper_runner.options import ProtectionOptions
from artscraper_runner.types import Json

Array = NDArray[np.float32]
_CORNER = 64  # px
_KEPT = 3  # encoders in a process
_loading = threading.Lock()


def encoder_of(options: ProtectionOptions) -> Encoder:
    """Return the encoder that a run's attacks look through.

    Raises:
        RunnerError: it cannot be loaded.
    """
    how = EncoderOptions(
        models_dir=options.models_dir,
        allow_downloads=options.allow_downloads,
        accelerator=options.accelerator,
    )
    return _loaded(options.encoder, how)


def load_gradients(encoder: Encoder, picture: Array) -> None:
    """Let an encoder load what it computes gradients by, with a corner of a picture."""
    corner = np.ascontiguousarray(picture[:, :, :_CORNER, :_CORNER])
    latent = encoder.latents(corner)
    encoder.value_and_gradient(corner, QuadraticObjective(latent, 0.0, np.zeros_like(latent)))


def unattacked_effects(
    options: ProtectionOptions,
    cache: RunCache,
    original: Array,
    changed: Array,
    *,
    views: tuple[str, ...],
    visible: Array,
) -> Json | None:
    """Return the effects of a change on the first other encoder that can be used.

    Where none can, the name and the error of the first; None without any. Arguments are those of
    `evaluation.effect_record`.
    """
    how = EncoderOptions(models_dir=options.models_dir, accelerator=options.accelerator)
    refused: Json | None = None
    for name in standby_encoders(options.encoder, options.models_dir):
        try:
            observer = Observer(_loaded(name, how), cache)
            return effect_record(observer, original, changed, views=views, visible=visible)
        except RunnerError as error:  # it only evaluates: the job did not ask for it
            refused = refused or {"encoder": name, "error": error.public}
    return refused


_kept = lru_cache(maxsize=_KEPT)(load_encoder)


def _loaded(name: str, options: EncoderOptions) -> Encoder:
    """Return the encoder, loaded once per process."""
    with _loading:
        return _kept(name, options)
