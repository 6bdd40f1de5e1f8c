"""The protection stages, by name and in the order in which they run.

Adding one = one file with a `Stage` class + one line here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from artscraper_runner.errors import UnknownName
from artscraper_runner.options import CONCEPT_NAMES, ProtectionOptions
from artscraper_runner.stages.stage import Stage


@dataclass(frozen=True)
class StageEntry:
    """The module of a stage, and its properties that are needed before it is imported.

    `by_default`: runs when the caller names no stages. `runs_last`: what it writes, a later stage
    would undo. `neural`: differentiates through a network, which a GPU makes fast. `needs`: the
    modules without which it cannot run, which the extra called `extra` installs.
    """

    module: str
    class_name: str
    by_default: bool = True
    runs_last: bool = False
    neural: bool = False
    needs: tuple[str, ...] = ()
    extra: str = ""


# The order is the order of the layers: what changes the file comes last.
_STAGES: dict[str, StageEntry] = {
    "fawkes": StageEntry(
        f"{__name__}.fawkes",
        "Fawkes",
        neural=True,
        needs=("dlib", "face_recognition_models"),
        extra="faces",
    ),
    "photoguard": StageEntry(f"{__name__}.photoguard", "Photoguard", neural=True),
    "mist": StageEntry(f"{__name__}.mist", "Mist", neural=True),
    "nightshade": StageEntry(f"{__name__}.nightshade", "Nightshade", neural=True),
    "invisible-watermark": StageEntry(f"{__name__}.invisible_watermark", "InvisibleWatermark"),
    "fourier-ring": StageEntry(f"{__name__}.fourier_ring", "FourierRing", by_default=False),
    "stegano-embed": StageEntry(
        f"{__name__}.stegano_embed", "SteganoEmbed", by_default=False, runs_last=True
    ),
    "c2pa": StageEntry(
        f"{__name__}.c2pa",
        "C2pa",
        by_default=False,
        runs_last=True,
        needs=("c2pa",),
        extra="c2pa",
    ),
}


def stage_names() -> tuple[str, ...]:
    """Return every stage's name, in the order in which they run."""
    return tuple(_STAGES)


def default_stages() -> tuple[str, ...]:
    """Return the stages that run when the caller names none."""
    return tuple(name for name, entry in _STAGES.items() if entry.by_default)


def chosen_stages(names: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the stages in the order in which they run: `names`, or the default ones for None.

    The order of `names` is kept, without repeats, except for those that have to run last.

    Raises:
        UnknownName: a stage that is not in the registry.
    """
    if names is None:
        return default_stages()
    for name in names:
        if name not in _STAGES:
            raise UnknownName("stage", name, _STAGES)
    first = tuple(name for name in dict.fromkeys(names) if not _STAGES[name].runs_last)
    return first + tuple(name for name in _STAGES if _STAGES[name].runs_last and name in names)


def needs_network(stages: Iterable[str]) -> bool:
    """Return whether one of `stages` differentiates through a network, which a GPU makes fast."""
    return any(name in _STAGES and _STAGES[name].neural for name in stages)


def stage_obstacle(name: str) -> str:
    """Return why the stage called `name` cannot be used here; "" when it can. Loads no torch."""
    entry = _STAGES[name]
    missing = [module for module in entry.needs if find_spec(module) is None]
    if not missing:
        return ""
    return f"needs {', '.join(missing)}: pip install 'artscraper-gateway[{entry.extra}]'"


def load_stage(name: str) -> Stage:
    """Import and return the stage called `name`.

    Raises:
        UnknownName: no such stage.
    """
    if name not in _STAGES:
        raise UnknownName("stage", name, _STAGES)
    entry = _STAGES[name]
    stage: Stage = getattr(import_module(entry.module), entry.class_name)()
    return stage


def check_options(options: ProtectionOptions) -> None:
    """Check names of stages, encoders, recognisers and targets without loading any of them.

    Raises:
        UnknownName: no such encoder, recogniser or concept; the message lists the valid ones.
        MissingDependency: the encoder's packages are not installed; names the command.
    """
    from artscraper_runner.faces.recognisers import check_recogniser
    from artscraper_runner.models import require_encoder

    require_encoder(options.encoder)
    check_recogniser(options.recogniser)
    target = options.nightshade_target
    if isinstance(target, str) and target not in CONCEPT_NAMES:
        raise UnknownName("nightshade target", target, CONCEPT_NAMES)
