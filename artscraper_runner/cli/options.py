"""The options of `protect` and `watch`, and the values that they choose."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from artscraper_runner.errors import InvalidOption, UnknownName
from artscraper_runner.options import (
    ACCELERATOR_NAMES,
    CONCEPT_NAMES,
    PRESET_NAMES,
    STRENGTH_NAMES,
    WATERMARK_METHODS,
    ProtectionOptions,
    RightsStatement,
    SigningSettings,
)

if TYPE_CHECKING:
    from artscraper_runner.protection_pipeline import WorkflowConfig


def add_protect_options(protect: argparse.ArgumentParser) -> None:
    """Add the arguments of `protect`."""
    protect.add_argument(
        "images", type=Path, metavar="IMAGE", nargs="+", help="a picture, or a folder of pictures"
    )
    protect.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="PATH",
        help="the protected picture: a file for one picture, else a folder (default: see --out)",
    )
    protect.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="folder for every layer, mask and summary.json (default: outputs/NAME)",
    )
    protect.add_argument(
        "--overwrite", action="store_true", help="replace results that exist (default: refuse)"
    )
    protect.add_argument("--no-analysis", action="store_true", help="skip the hash analysis")
    _add_protection(protect)


def add_watch_options(watch: argparse.ArgumentParser) -> None:
    """Add the arguments of `watch`."""
    watch.add_argument("source", type=Path, metavar="IN", help="folder to watch")
    watch.add_argument("target", type=Path, metavar="OUT", help="folder for protected pictures")
    watch.add_argument(
        "--every",
        type=_seconds,
        default=1.0,
        metavar="SECONDS",
        help="time between two polls of the folder (default: %(default)s)",
    )
    watch.add_argument(
        "--once", action="store_true", help="protect the existing pictures, then exit"
    )
    _add_protection(watch)


def _add_protection(protect: argparse.ArgumentParser) -> None:
    from artscraper_runner.stages import default_stages, stage_names

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
        help="text of the watermark, up to 10 bytes (default: 64 random bits, see summary.json)",
    )
    protect.add_argument(
        "--watermark-method",
        choices=WATERMARK_METHODS,
        default="tiled",
        help="default: %(default)s",
    )
    protect.add_argument(
        "--keep-watermark",
        action="store_true",
        help="keep the watermark of a picture that carries one already (default: write over it)",
    )
    _add_signing(protect)
    _add_attack(protect)
    _add_targets(protect)
    _add_models(protect)


def workflow_config(options: argparse.Namespace) -> WorkflowConfig:
    """Return what the options of `_add_protection` choose.

    Raises:
        InvalidOption: a value is unknown, empty or out of range, or a file is missing.
    """
    from artscraper_runner.protection_pipeline import WorkflowConfig
    from artscraper_runner.stages import stage_names

    if options.stages == ():
        known = ", ".join(stage_names())
        raise InvalidOption(f"--stages: expected one or more of {known}, found none")
    protection = ProtectionOptions(
        watermark_text=options.watermark_text,
        watermark_method=options.watermark_method,
        keep_watermark=options.keep_watermark,
        rights=_rights(options),
        strength=options.strength,
        encoder=options.encoder,
        recogniser=options.recogniser,
        preset=options.preset,
        seed=options.seed,
        nightshade_target=_concept_or_path(options.nightshade_target),
        fawkes_target=_file_or_none("--fawkes-target", options.fawkes_target),
        models_dir=options.models_dir,
        allow_downloads=options.allow_downloads,
        mist_model=options.mist_model,
        accelerator=options.accelerator,
    )
    signing = SigningSettings(
        options.c2pa_folder,
        _file_or_none("--c2pa-certificate", options.c2pa_certificate),
        _file_or_none("--c2pa-key", options.c2pa_key),
    )
    return WorkflowConfig(options.stages, protection, signing=signing)


def _rights(options: argparse.Namespace) -> RightsStatement:
    rights = RightsStatement(
        options.copyright_notice, options.usage_terms, options.allow_search_engines
    )
    if not rights.is_empty and "c2pa" not in (options.stages or ()):
        raise InvalidOption(
            "--copyright-notice, --usage-terms, --allow-search-engines: expected c2pa in --stages"
        )
    return rights


def _add_attack(protect: argparse.ArgumentParser) -> None:
    from artscraper_runner import encoder_names

    protect.add_argument(
        "--strength",
        default="medium",
        metavar="|".join(STRENGTH_NAMES),
        help="visibility of the change: none, hardly any, or some where the picture is smooth"
        " (default: %(default)s)",
    )
    protect.add_argument(
        "--seed",
        type=int,
        default=0,
        help="the same seed gives the same attack layers; the watermark's number is drawn anew"
        " unless --watermark-text is set (default: %(default)s)",
    )
    protect.add_argument(
        "--encoder",
        default=ProtectionOptions.encoder,
        metavar="NAME",
        help=f"image encoder to attack: {', '.join(encoder_names())},"
        " vae:<path or hub id>, ensemble:<a>+<b> (default: %(default)s)",
    )
    protect.add_argument(
        "--preset",
        default="default",
        metavar="|".join(PRESET_NAMES),
        help="schedule of the attacks (default: %(default)s)",
    )
    protect.add_argument(
        "--accelerator",
        default="auto",
        metavar="|".join(ACCELERATOR_NAMES),
        help="device that computes the attacks; an unusable one is replaced by the processor"
        " (default: %(default)s)",
    )


def _add_targets(protect: argparse.ArgumentParser) -> None:
    protect.add_argument(
        "--nightshade-target",
        default="forest",
        metavar="NAME|FILE",
        help=f"target of nightshade: {', '.join(CONCEPT_NAMES)}, or a picture file"
        " (default: %(default)s)",
    )
    protect.add_argument(
        "--fawkes-target",
        type=Path,
        metavar="FILE",
        help="picture of a person that cloaked faces should resemble (default: none)",
    )


def _add_models(protect: argparse.ArgumentParser) -> None:
    protect.add_argument("--models-dir", type=Path, metavar="DIR", help="weights of encoders")
    protect.add_argument(
        "--allow-downloads", action="store_true", help="fetch missing weights into --models-dir"
    )
    protect.add_argument(
        "--recogniser",
        default=ProtectionOptions.recogniser,
        metavar="NAME",
        help="face recogniser that fawkes cloaks against: dlib, torch:<file.pt2>,"
        " onnx:<file.onnx>, or several, such as ensemble:dlib+torch:other.pt2"
        " (default: %(default)s)",
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
        help="folder of the private CA, created on first use (default: %(default)s)",
    )
    signing.add_argument(
        "--c2pa-certificate", type=Path, metavar="PEM", help="your own certificate chain"
    )
    signing.add_argument("--c2pa-key", type=Path, metavar="PEM", help="private key of the chain")
    signing.add_argument(
        "--copyright-notice", metavar="TEXT", help="written into XMP, such as '(c) 2026 Ada'"
    )
    signing.add_argument("--usage-terms", metavar="TEXT", help="written into XMP")
    signing.add_argument(
        "--allow-search-engines",
        action="store_true",
        help="state that search engines may index the picture (default: no mining at all)",
    )


def _concept_or_path(text: str) -> str | Path:
    """Return a concept's name or a picture's path; raises InvalidOption for anything else."""
    if text in CONCEPT_NAMES:
        return text
    if Path(text).is_file():
        return Path(text)
    unknown = UnknownName("nightshade target", text, CONCEPT_NAMES)
    raise InvalidOption(f"{unknown}, or a picture; there is no such file either")


def _file_or_none(option: str, path: Path | None) -> Path | None:
    """Return the path; raises InvalidOption at once if there is no such file."""
    if path is not None and not path.is_file():
        raise InvalidOption(f"{option}: expected a file, found none at {path}")
    return path


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.05 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"expected 0.05 to 3600 seconds, found {text!r}")
    return seconds
