"""The protection stages, by name and in the order in which they run.

Adding one = one file with a `Stage` class + one line here.
"""

from __future__ import annotations

from importlib import import_module

from artscraper_runner.errors import UnknownName
from artscraper_runner.protections.stage import Stage
from artscraper_runner.types import ProtectionOptions

# Name -> (module, class). The order is the order of the layers: what changes the file comes last.
_STAGES: dict[str, tuple[str, str]] = {
    "fawkes": ("artscraper_runner.protections.fawkes", "Fawkes"),
    "photoguard": ("artscraper_runner.protections.photoguard", "Photoguard"),
    "mist": ("artscraper_runner.protections.mist", "Mist"),
    "nightshade": ("artscraper_runner.protections.nightshade", "Nightshade"),
    "invisible-watermark": (
        "artscraper_runner.protections.invisible_watermark",
        "InvisibleWatermark",
    ),
    "fourier-ring": ("artscraper_runner.protections.fourier_ring", "FourierRing"),
    "stegano-embed": ("artscraper_runner.protections.stegano_embed", "SteganoEmbed"),
    "c2pa": ("artscraper_runner.protections.c2pa", "C2pa"),
}
# Run only when they are asked for.
_OPTIONAL = frozenset({"fourier-ring", "stegano-embed", "c2pa"})
# What these write, a later stage would undo.
_LAST = ("stegano-embed", "c2pa")


def stage_names() -> tuple[str, ...]:
    """Returns every stage's name, in the order in which they run."""
    return tuple(_STAGES)


def default_stages() -> tuple[str, ...]:
    """Returns the stages that run when the caller names none."""
    return tuple(name for name in _STAGES if name not in _OPTIONAL)


def chosen_stages(asked: tuple[str, ...] | None) -> tuple[str, ...]:
    """Returns the stages in the order in which they run: `asked`, or the default ones for None.

    They run as asked, without repeats, but for `stegano-embed` and `c2pa`: these come last.

    Raises:
        UnknownName: a stage that is not in the registry.
    """
    if asked is None:
        return default_stages()
    for name in asked:
        if name not in _STAGES:
            raise UnknownName("stage", name, _STAGES)
    first = tuple(name for name in dict.fromkeys(asked) if name not in _LAST)
    return first + tuple(name for name in _LAST if name in asked)


def load_stage(name: str) -> Stage:
    """Imports and returns the stage called `name`.

    Raises:
        UnknownName: no such stage.
    """
    if name not in _STAGES:
        raise UnknownName("stage", name, _STAGES)
    module, class_name = _STAGES[name]
    stage: Stage = getattr(import_module(module), class_name)()
    return stage


def check_options(options: ProtectionOptions) -> None:
    """Checks the names that only a registry knows; loads no torch.

    Raises:
        UnknownName: no such encoder or built-in concept; the message lists the valid ones.
    """
    from artscraper_runner.encoders import check_encoder_name
    from artscraper_runner.target_pictures import concept_names

    check_encoder_name(options.encoder)
    target = options.nightshade_target
    if isinstance(target, str) and target not in concept_names():
        raise UnknownName("nightshade target", target, concept_names())
