"""`protect` and its choices: what is asked for arrives, what is unknown lists what is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from artscraper_runner.cli.main import main

from ..watermarks.pictures import painting


@pytest.fixture
def art(textured: Any, tmp_path: Path) -> Path:
    path = tmp_path / "art.png"
    Image.fromarray(textured[30:70, 40:104]).save(path)
    return path


def protect(art: Path, *arguments: str, out: str = "out") -> list[dict[str, Any]]:
    """Run the command line and return the layers after the original."""
    folder = art.parent / out
    assert main(["protect", str(art), "--out", str(folder), "--no-analysis", *arguments]) == 0
    layers: list[dict[str, Any]] = json.loads((folder / "summary.json").read_text())["layers"]
    return layers[1:]


def pixels(layer: dict[str, Any]) -> Any:
    return np.asarray(Image.open(layer["path"])).astype(int)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--strength", "extreme"], "low, medium, high"),
        (["--preset", "fastest"], "default, published"),
        (["--stages", "photoguard,blur"], "photoguard, mist, nightshade"),
        (["--stages", ","], "--stages: expected one or more of fawkes, photoguard, mist"),
        (["--stages", ""], "--stages: expected one or more of fawkes, photoguard, mist"),
        (["--encoder", "clip"], "bundled, taesd, taesdxl, taesd3, taef1, taef2, vae:"),
        (["--encoder", "ensemble:bundled+clip"], "bundled, taesd"),
        (["--encoder", "vae:"], "vae:<path or hub id>"),
        (["--encoder", "ensemble:bundled+bundled"], "two or more different encoders"),
        (["--nightshade-target", "dog"], "forest, city, flower"),
        (["--nightshade-target", "missing.png"], "there is no such file either"),
        (["--fawkes-target", "missing.png"], "--fawkes-target: expected a file, found none"),
        (["--c2pa-certificate", "missing.pem"], "--c2pa-certificate: expected a file"),
        (["--c2pa-key", "missing.pem"], "--c2pa-key: expected a file"),
        (["--seed", "-1"], "expected 0 to 2147483647"),
        (["--seed", "2147483648"], "expected 0 to 2147483647"),
    ],
)
def test_unknown_names_list_valid_ones(
    art: Path, arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = art.parent / "out"
    assert main(["protect", str(art), "--out", str(out), *arguments]) == 2
    assert named in capsys.readouterr().err
    assert not out.exists()


def test_non_numeric_seed_is_wrong_usage(art: Path) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["protect", str(art), "--seed", "seven"])


def test_options_apply_and_stages_keep_their_order(art: Path) -> None:
    arguments = ["--strength", "low", "--stages", "mist,photoguard", "--seed", "7"]
    layers = protect(art, *arguments, "--encoder", "bundled")
    assert [layer["stage"] for layer in layers] == ["mist", "photoguard"]
    for layer in layers:
        chosen = {name: layer["metrics"][name] for name in ("strength", "budget", "seed", "preset")}
        assert chosen == {"strength": "low", "budget": 4, "seed": 7, "preset": "default"}
        assert layer["metrics"]["encoder"] == "bundled"
        assert 0 < np.abs(pixels(layer) - np.asarray(Image.open(art))).max() <= 4


def test_published_preset_has_its_own_iterations(art: Path) -> None:
    (layer,) = protect(art, "--stages", "mist", "--preset", "published")
    assert (layer["metrics"]["preset"], layer["metrics"]["iterations"]) == ("published", 100)


def test_same_seed_gives_the_same_file(art: Path) -> None:
    files = []
    for number, seed in enumerate(("7", "7", "8")):
        arguments = ["--stages", "photoguard", "--seed", seed]
        (layer,) = protect(art, *arguments, out=str(number))
        files.append(Path(layer["path"]).read_bytes())
    assert files[0] == files[1] != files[2]


@pytest.mark.usefixtures("one_iteration")
def test_same_seed_draws_another_watermark_number_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = tmp_path / "large.png"
    Image.fromarray(painting(256, 256)).save(large)
    stages = ["--stages", "photoguard,invisible-watermark", "--seed", "7"]
    numbered = [protect(large, *stages, out=f"numbered-{number}") for number in range(2)]
    attacked, marked = (
        [Path(layers[n]["path"]).read_bytes() for layers in numbered] for n in (0, 1)
    )
    assert attacked[0] == attacked[1]
    assert marked[0] != marked[1]
    text = ["--stages", "invisible-watermark", "--seed", "7", "--watermark-text", "me"]
    with_text = [protect(large, *text, out=f"text-{number}")[0]["path"] for number in range(2)]
    assert Path(with_text[0]).read_bytes() == Path(with_text[1]).read_bytes()
    with pytest.raises(SystemExit, match="0"):
        main(["protect", "--help"])
    assert "number is drawn anew" in " ".join(capsys.readouterr().out.split())


def test_nightshade_accepts_a_concept_or_a_picture(art: Path, textured: Any) -> None:
    own = art.parent / "own.png"
    Image.fromarray(textured[:, ::-1].copy()).save(own)
    arguments = ["--stages", "nightshade", "--nightshade-target"]
    results = [
        pixels(protect(art, *arguments, target, out=f"out-{Path(target).stem}")[0])
        for target in ("city", "flower", str(own))
    ]
    for index, first in enumerate(results):
        for second in results[index + 1 :]:
            assert not np.array_equal(first, second)


def test_invalid_target_picture_is_named(art: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = art.parent / "notes.txt"
    text.write_text("no picture")
    arguments = ["--stages", "nightshade", "--nightshade-target", str(text)]
    assert main(["protect", str(art), "--out", str(art.parent / "out"), *arguments]) == 1
    assert "nightshade failed: nightshade_target: expected" in capsys.readouterr().err


def test_stage_no_better_than_noise_is_noted(art: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGBA", (40, 40), (9, 9, 9, 0)).save(art)
    (layer,) = protect(art, "--stages", "mist")
    assert layer["metrics"]["effective"] is False
    assert "mist: no protection beyond noise" in capsys.readouterr().err


def test_skipped_stage_is_noted_with_its_reason(
    art: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (40, 40), (9, 60, 90)).save(art)  # stegano-embed refuses grey
    (layer,) = protect(art, "--stages", "stegano-embed,fawkes")[:1]
    output = capsys.readouterr().err
    assert f"note: fawkes was not applied: {layer['reason']}" in output
    assert "stegano-embed was not applied" not in output


def test_missing_weights_name_their_folder(art: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--stages", "photoguard", "--encoder", "taef2", "--models-dir", str(art.parent)]
    assert main(["protect", str(art), "--out", str(art.parent / "out"), *arguments]) == 1
    output = capsys.readouterr().err
    assert "taef2_encoder.safetensors or taef2_encoder.pth" in output
    assert f"searched {art.parent / 'taef2'}, {art.parent}" in output
    assert "--models-dir" in output and "--allow-downloads" in output


def test_allow_downloads_without_models_dir_is_explained(
    art: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--stages", "mist", "--encoder", "taef2", "--allow-downloads"]
    assert main(["protect", str(art), "--out", str(art.parent / "out"), *arguments]) == 1
    assert "is on, but needs a folder to fetch it into: models_dir" in capsys.readouterr().err


def test_missing_vae_folder_is_named(art: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("diffusers", reason="needs the optional extra `vae`")
    arguments = ["--stages", "mist", "--encoder", f"vae:{art.parent / 'vae'}"]
    assert main(["protect", str(art), "--out", str(art.parent / "out"), *arguments]) == 1
    output = capsys.readouterr().err
    assert str(art.parent / "vae") in output and "--encoder" in output


def test_missing_weights_are_reported_for_a_folder(
    art: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, models = art.parent / "out", art.parent / "models"
    arguments = ["--stages", "mist", "--encoder", "taef2", "--models-dir", str(models)]
    assert main(["protect", str(art.parent), "--out", str(out), *arguments]) == 1
    assert str(models / "taef2") in capsys.readouterr().err


def test_missing_diffusion_model_fails_mist(art: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--stages", "mist", "--mist-model", str(art.parent / "model")]
    assert main(["protect", str(art), "--out", str(art.parent / "out"), *arguments]) == 1
    output = capsys.readouterr().err
    assert "model_index.json" in output and "--mist-model" in output
    assert str(art.parent / "model") in output
