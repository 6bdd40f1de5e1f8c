"""Encoders from pictures to latents, by name.

Adding an encoder: one file with ``load(argument, options) -> Encoder`` and one line below.
Importing this package loads no runtime; loading an encoder does.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from artscraper_runner.errors import MissingDependency, UnknownName
from artscraper_runner.instrumentation import timed

if TYPE_CHECKING:
    from artscraper_runner.models.protocol import Encoder, EncoderOptions

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
_NEEDS = {  # packages beyond the default install, by module; each is also an extra's first package
    "taesd": ("torch", "safetensors"),
    "vae": ("torch", "diffusers"),
}
_INSTALL = {
    "taesd": "pip install 'artscraper-gateway[torch]'",
    "vae": "pip install 'artscraper-gateway[vae]'",
}


def encoder_names() -> tuple[str, ...]:
    """Return every complete name; the caller makes ``vae:`` and ``ensemble:`` names."""
    return tuple(name for name in _MODULES if name not in _PATTERNS)


def check_encoder_name(name: str) -> None:
    """Check that `name`, and every member of an ensemble, is in the registry.

    An ensemble has two or more different members, none of them an ensemble.

    Raises:
        UnknownName: it is not.
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


def require_encoder(name: str) -> None:
    """Check that the packages of an encoder, and of an ensemble's members, are installed.

    Raises:
        UnknownName: no encoder is called that.
        MissingDependency: a package is not installed; the message has the command that does it.
    """
    check_encoder_name(name)
    kind, colon, argument = name.partition(":")
    if kind == "ensemble":
        for member in argument.split("+"):
            require_encoder(member)
    module = _MODULES[kind + colon]
    for package in _NEEDS.get(module, ()):
        if find_spec(package) is None:
            raise MissingDependency(package, f"the encoder {name}", _INSTALL[module])


def standby_encoders(attacked: str, models_dir: Path | None) -> tuple[str, ...]:
    """Return the usable encoders that `attacked` leaves out, the most informative first.

    Published ones whose weights lie in `models_dir`, then the bundled one, which imitates taef2.
    """
    from artscraper_runner.models.weights import published_file

    attacked_names = set(attacked.removeprefix("ensemble:").split("+"))
    published = ("taef2", "taef1", "taesd3", "taesdxl", "taesd")
    present = [name for name in published if published_file(name, models_dir)]
    if present and find_spec("torch") is None:
        present = []
    return tuple(name for name in (*present, DEFAULT_ENCODER) if name not in attacked_names)


def load_encoder(
    name: str = DEFAULT_ENCODER,
    *,
    models_dir: Path | None = None,
    allow_downloads: bool = False,
    accelerator: str = "auto",
    bfloat16: bool | None = None,
    base_url: str | None = None,
) -> Encoder:
    """Load a frozen encoder.

    Args:
        name: one of ``encoder_names()``, ``vae:<path or hub id>`` or ``ensemble:<a>+<b>``.
        models_dir: folder of weights; those of encoder X are in it or in its folder X.
        allow_downloads: fetch missing weights whose digest is pinned into `models_dir`.
        accelerator: one of `accelerators.ACCELERATOR_NAMES`.
        bfloat16: of models that torch computes; None: where the processor does so natively.
        base_url: server of downloads; None: the publisher's.

    Raises:
        UnknownName: no encoder, or no accelerator, is called that.
        MissingDependency: a package is not installed.
        MissingModel: a file of weights is not there and may not be downloaded.
        UnusableModel: a file of weights is not what its encoder needs.
        DownloadFailed: a download was refused, broke off or has another digest.
    """
    from artscraper_runner.models.protocol import EncoderOptions

    options = EncoderOptions(
        models_dir=models_dir,
        allow_downloads=allow_downloads,
        accelerator=accelerator,
        bfloat16=bfloat16,
        base_url=base_url,
    )
    # By its kind: what follows a colon is a path, or a name of the caller's making.
    with timed("encoder", name.partition(":")[0]):
        return load_with(name, options)


def load_with(name: str, options: EncoderOptions) -> Encoder:
    """Load an encoder as `load_encoder` does, with options that are already built."""
    require_encoder(name)
    kind, colon, argument = name.partition(":")
    loader = importlib.import_module(f"{__name__}.{_MODULES[kind + colon]}")
    encoder: Encoder = loader.load(argument or kind, options)
    return encoder
