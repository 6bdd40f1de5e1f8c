"""What the command `protect` takes, and what it means by it."""

from __future__ import annotations

import argparse
from pathlib import Path

from artscraper_runner.errors import InvalidOption, UnknownName
from artscraper_runner.options import (
    PRESET_NAMES,
    STRENGTH_NAMES,
    WATERMARK_METHODS,
    ProtectionOptions,
    SigningSettings,
)


def add_protect_options(protect: argparse.ArgumentParser) -> None:
    """Adds the arguments of `protect`."""
    from artscraper_runner.stages import default_stages, stage_names

    protect.add_argument("image", type=Path, metavar="IMAGE", help="a picture or a folder")
    protect.add_argument("--out", type=Path, help="where results go (default: outputs/<name>)")
    protect.add_argument(
        "--stages",
        type=_names,
        metavar="A,B",
        help=f"stages to run, in this order (known: {', '.join(stage_names())};"
        f" default: {', '.join(default_stages())})",
    )
    protect.add_argument(
        "--watermark-text",
        metavar="TEXT",
        help="what the watermark says, up to 10 bytes (default: 64 random bits, see summary.json)",
    )
    protect.add_argument("--watermark-method", choices=WATERMARK_METHODS, default="tiled")
    _add_signing(protect)
    _add_attack(protect)
    _add_targets(protect)
    _add_models(protect)
    protect.add_argument("--no-analysis", action="store_true", help="skip the hash analysis")


def named_stages(options: argparse.Namespace) -> tuple[str, ...] | None:
    """Returns the stages that were named, None = the default ones.

    Raises:
        InvalidOption: the option is there and names none.
    """
    from artscraper_runner.stages import stage_names

    named: tuple[str, ...] | None = options.stages
    if named == ():
        known = ", ".join(stage_names())
        raise InvalidOption(f"--stages: expected one or more of {known}, found none")
    return named


def protection_options(options: argparse.Namespace) -> ProtectionOptions:
    """Returns what was asked for.

    Raises:
        InvalidOption: a value that is unknown or out of range, a file that is not there.
    """
    return ProtectionOptions(
        watermark_text=options.watermark_text,
        watermark_method=options.watermark_method,
        strength=options.strength,
        encoder=options.encoder,
        preset=options.preset,
        seed=options.seed,
        nightshade_target=_concept_or_path(options.nightshade_target),
        fawkes_target=_file_or_none("--fawkes-target", options.fawkes_target),
        models_dir=options.models_dir,
        allow_downloads=options.allow_downloads,
        mist_model=options.mist_model,
    )


def signing_settings(options: argparse.Namespace) -> SigningSettings:
    """Returns who signs for the stage c2pa.

    Raises:
        InvalidOption: a file that is not there.
    """
    return SigningSettings(
        options.c2pa_folder,
        _file_or_none("--c2pa-certificate", options.c2pa_certificate),
        _file_or_none("--c2pa-key", options.c2pa_key),
    )


def _add_attack(protect: argparse.ArgumentParser) -> None:
    from artscraper_runner.models import DEFAULT_ENCODER, encoder_names

    protect.add_argument(
        "--strength",
        default="medium",
        metavar="|".join(STRENGTH_NAMES),
        help="largest change: 4, 8 or 16 of 255, for all attack stages together",
    )
    protect.add_argument(
        "--seed",
        type=int,
        default=0,
        help="same seed, same layers of the attacks; the watermark's number is drawn anew unless"
        " there is a --watermark-text (default: 0)",
    )
    protect.add_argument(
        "--encoder",
        default=DEFAULT_ENCODER,
        metavar="NAME",
        help=f"what the attacks look through: {', '.join(encoder_names())},"
        " vae:<path or hub id>, ensemble:<a>+<b>",
    )
    protect.add_argument("--preset", default="default", metavar="|".join(PRESET_NAMES))


def _add_targets(protect: argparse.ArgumentParser) -> None:
    from artscraper_runner.latent.targets import concept_names

    protect.add_argument(
        "--nightshade-target",
        default="forest",
        metavar="NAME|FILE",
        help=f"what nightshade shows a model instead: {', '.join(concept_names())}, or a picture",
    )
    protect.add_argument(
        "--fawkes-target",
        type=Path,
        metavar="FILE",
        help="picture of another person, whom cloaked faces are to resemble (default: nobody)",
    )


def _add_models(protect: argparse.ArgumentParser) -> None:
    protect.add_argument("--models-dir", type=Path, metavar="DIR", help="weights of encoders")
    protect.add_argument(
        "--allow-downloads", action="store_true", help="fetch missing weights into --models-dir"
    )
    protect.add_argument(
        "--mist-model",
        type=Path,
        metavar="DIR",
        help="a Stable Diffusion model in diffusers' layout, for mist's fused mode (default: none)",
    )


def _add_signing(protect: argparse.ArgumentParser) -> None:
    signing = protect.add_argument_group("signing, for the stage c2pa")
    signing.add_argument(
        "--c2pa-folder",
        type=Path,
        default=Path("c2pa_credentials"),
        metavar="FOLDER",
        help="where a private CA is made once and kept (default: %(default)s)",
    )
    signing.add_argument("--c2pa-certificate", type=Path, metavar="PEM", help="your own chain")
    signing.add_argument("--c2pa-key", type=Path, metavar="PEM", help="and its private key")


def _concept_or_path(text: str) -> str | Path:
    """Raises InvalidOption for what is neither a concept's name nor a file."""
    from artscraper_runner.latent.targets import concept_names

    if text in concept_names():
        return text
    if Path(text).is_file():
        return Path(text)
    unknown = UnknownName("nightshade target", text, concept_names())
    raise InvalidOption(f"{unknown}, or a picture; there is no such file either")


def _file_or_none(option: str, path: Path | None) -> Path | None:
    """Raises InvalidOption where there is no such file: now, not when its stage has its turn."""
    if path is not None and not path.is_file():
        raise InvalidOption(f"{option}: expected a file, found none at {path}")
    return path


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
