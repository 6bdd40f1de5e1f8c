"""Encoders from pictures to latents, by name.

Adding an encoder: one file with ``load(argument, options) -> Encoder`` and one line below.
Importing this package loads no runtime; loading an encoder does.
"""

from __future__ import annotations

import importlib
from collections.abc import Container, Sequence
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
_NEEDS = {  # packages beyond the default install, and the extra that has them, by module
    "taesd": (("torch", "safetensors"), "torch"),
    "vae": (("torch", "diffusers"), "vae"),
}


def encoder_names() -> tuple[str, ...]:
    """Return every complete name; the caller makes ``vae:`` and ``ensemble:`` names."""
    return tuple(name for name in _MODULES if name not in _PATTERNS)


def check_model_name(model: str, name: str, kinds: Container[str], valid: Sequence[str]) -> None:
    """Check that `name`, and every member of an ensemble, is in a registry of models.

    An ensemble has two or more different members, none of them an ensemble.

    Args:
        model: the kind of model, such as "encoder", for messages.
        name: of a model, or "kind:argument".
        kinds: the registered names, and kinds with their colon.
        valid: what messages list.

    Raises:
        UnknownName: it is not.
    """
    kind, colon, argument = name.partition(":")
    if kind + colon not in kinds or (colon and not argument):
        raise UnknownName(model, name, valid)
    if kind == "ensemble":
        members = argument.split("+")
        is_nested = any(member.startswith("ensemble:") for member in members)
        if len(members) < 2 or len(set(members)) < len(members) or is_nested:
            raise UnknownName("ensemble", argument, [f"two or more different {model}s joined by +"])
        for member in members:
            check_model_name(model, member, kinds, valid)


def require_encoder(name: str) -> None:
    """Check that the packages of an encoder, and of an ensemble's members, are installed.

    Raises:
        UnknownName: no encoder is called that.
        MissingDependency: a package is not installed; the message has the command that does it.
    """
    check_model_name("encoder", name, _MODULES, (*encoder_names(), *_PATTERNS.values()))
    kind, colon, argument = name.partition(":")
    if kind == "ensemble":
        for member in argument.split("+"):
            require_encoder(member)
    module = _MODULES[kind + colon]
    if module in _NEEDS:
        packages, extra = _NEEDS[module]
        require_packages(packages, f"the encoder {name}", extra=extra)


def require_packages(packages: Sequence[str], purpose: str, *, extra: str) -> None:
    """Check that `packages`, which the extra called `extra` installs, are there for `purpose`.

    Raises:
        MissingDependency: one is not; the message has the command that installs it.
    """
    for package in packages:
        if find_spec(package) is None:
            install = f"pip install 'artscraper-gateway[{extra}]'"
            raise MissingDependency(package, purpose, install)


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


def load_encoder(name: str = DEFAULT_ENCODER, options: EncoderOptions | None = None) -> Encoder:
    """Load a frozen encoder.

    Args:
        name: one of ``encoder_names()``, ``vae:<path or hub id>`` or ``ensemble:<a>+<b>``.
        options: where its weights are, and what computes it; None: the defaults.

    Raises:
        UnknownName: no encoder, or no accelerator, is called that.
        MissingDependency: a package is not installed.
        MissingModel: a file of weights is not there and may not be downloaded.
        UnusableModel: a file of weights is not what its encoder needs.
        DownloadFailed: a download was refused, broke off or has another digest.
    """
    from artscraper_runner.models.protocol import EncoderOptions

    # By its kind: what follows a colon is a path, or a name of the caller's making.
    with timed("encoder", name.partition(":")[0]):
        return load_untimed(name, options or EncoderOptions())


def load_untimed(name: str, options: EncoderOptions) -> Encoder:
    """Load an encoder as `load_encoder` does, as a part of another one."""
    require_encoder(name)
    kind, colon, argument = name.partition(":")
    loader = importlib.import_module(f"{__name__}.{_MODULES[kind + colon]}")
    encoder: Encoder = loader.load(argument or kind, options)
    return encoder
