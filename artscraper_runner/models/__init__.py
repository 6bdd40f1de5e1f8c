"""What the attacks look through: encoders from pictures to latents, by name.

Adding an encoder: one file with ``load(argument, request) -> Encoder`` and one line below.
Importing this package loads no torch; loading an encoder does.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from artscraper_runner.errors import MissingDependency, UnknownName
from artscraper_runner.instrumentation import timed
from artscraper_runner.models.request import LoadRequest

if TYPE_CHECKING:
    from artscraper_runner.models.base import Encoder

__all__ = [
    "DEFAULT_ENCODER",
    "LoadRequest",
    "check_encoder_name",
    "encoder_names",
    "load_encoder",
    "standby_encoders",
]

DEFAULT_ENCODER = "bundled"

_MODULES = {  # name, or kind of a name that takes an argument after ":", to its module here
    "bundled": "bundled",
    "taesd": "taesd",
    "taesdxl": "taesd",
    "taesd3": "taesd",
    "taef1": "taesd",
    "taef2": "taesd",
    "vae:": "vae",
    "ensemble:": "ensemble",
}
_PATTERNS = {"vae:": "vae:<path or hub id>", "ensemble:": "ensemble:<name>+<name>"}
_SUFFIXES = (".safetensors", ".pth")
_INSTALL = {
    "torch": "pip install torch",
    "safetensors": "pip install safetensors",
    "diffusers": "pip install 'artscraper-gateway[vae]'",
}


def encoder_names() -> tuple[str, ...]:
    """Answer every name that stands alone; ``vae:`` and ``ensemble:`` names are made by you."""
    return tuple(name for name in _MODULES if name not in _PATTERNS)


def check_encoder_name(name: str) -> None:
    """Raise UnknownName unless ``name``, and every member of an ensemble, is in the registry.

    An ensemble has two or more different members, none of them an ensemble.
    """
    kind, colon, argument = name.partition(":")
    if kind + colon not in _MODULES or (colon and not argument):
        raise UnknownName("encoder", name, (*encoder_names(), *_PATTERNS.values()))
    if kind == "ensemble":
        members = argument.split("+")
        is_nested = any(member.startswith("ensemble:") for member in members)
        if len(members) < 2 or len(set(members)) < len(members) or is_nested:
            raise UnknownName("ensemble", argument, ["two or more different encoders joined by +"])
        for member in members:
            check_encoder_name(member)


def standby_encoders(attacked: str, models_dir: Path | None) -> tuple[str, ...]:
    """Answer the encoders at hand that ``attacked`` leaves out, those that say most first.

    Published ones whose weights lie in ``models_dir``, then the bundled one, which imitates taef2.
    """
    used = set(attacked.removeprefix("ensemble:").split("+"))
    published = ("taef2", "taef1", "taesd3", "taesdxl", "taesd")
    present = [name for name in published if _has_weights(name, models_dir)]
    return tuple(name for name in (*present, DEFAULT_ENCODER) if name not in used)


def _has_weights(name: str, models_dir: Path | None) -> bool:
    if models_dir is None:
        return False
    stems = [f"{folder}{name}{end}" for folder in (f"{name}/", "") for end in ("_encoder", "")]
    return any((models_dir / f"{stem}{s}").is_file() for stem in stems for s in _SUFFIXES)


def load_encoder(
    name: str = DEFAULT_ENCODER,
    *,
    models_dir: Path | None = None,
    allow_downloads: bool = False,
    device: str = "cpu",
    bfloat16: bool | None = None,
    base_url: str | None = None,
) -> Encoder:
    """Answer a frozen encoder, ready to differentiate through.

    Args:
        name: one of ``encoder_names()``, ``vae:<path or hub id>`` or ``ensemble:<a>+<b>``.
        models_dir: folder of weights; those of encoder X are in it or in its folder X.
        allow_downloads: fetch missing weights whose digest is pinned into ``models_dir``.
        device: torch's name of the device.
        bfloat16: compute in bfloat16; None: where the processor does so natively.
        base_url: where downloads come from; None: where they are published.

    Raises:
        UnknownName: no encoder is called that.
        MissingDependency: a package is not installed.
        MissingModel: a file of weights is not there and may not be downloaded.
        UnusableModel: a file of weights is not what its encoder needs.
        DownloadFailed: a download was refused, broke off or has another digest.
    """
    request = LoadRequest(
        models_dir=models_dir,
        allow_downloads=allow_downloads,
        device=device,
        bfloat16=bfloat16,
        base_url=base_url,
    )
    # Told by its kind: what follows a colon is a path, or a name of the caller's making.
    with timed("encoder", name.partition(":")[0]):
        return load_requested(name, request)


def load_requested(name: str, request: LoadRequest) -> Encoder:
    """Answer what ``load_encoder`` does, from a request that is already built."""
    check_encoder_name(name)
    kind, colon, argument = name.partition(":")
    module = _MODULES[kind + colon]
    try:
        loader = importlib.import_module(f"{__name__}.{module}")
        encoder: Encoder = loader.load(argument or kind, request)
    except ModuleNotFoundError as exc:
        package = (exc.name or "").partition(".")[0]
        if package not in _INSTALL:
            raise
        raise MissingDependency(package, f"the encoder {name}", _INSTALL[package]) from exc
    return encoder
