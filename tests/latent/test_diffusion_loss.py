"""Mist's fused mode on a tiny Stable Diffusion pipeline with random weights."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from artscraper_runner import models
from artscraper_runner.attacks.transforms import to_picture
from artscraper_runner.errors import MissingDependency, MissingModel
from artscraper_runner.latent.diffusion_loss import DenoisingLoss, FusedTerm, load_denoising_loss
from artscraper_runner.models.weights import UnusableModel
from artscraper_runner.options import ProtectionOptions
from artscraper_runner.stages import load_stage
from artscraper_runner.stages.stage import StageInput
from artscraper_runner.types import Controls


def tiny_pipeline(folder: Path, *, prediction: str = "epsilon") -> Path:
    """Write a whole pipeline of a few thousand random weights to `folder`."""
    diffusers: Any = pytest.importorskip("diffusers", reason="needs the optional extra `fused`")
    transformers: Any = pytest.importorskip("transformers", reason="needs the extra `fused`")
    torch.manual_seed(0)
    texts = folder / "words"
    texts.mkdir(parents=True)
    vocabulary = ["<|startoftext|>", "<|endoftext|>", *"abcdefghijklmnopqrstuvwxyz"]
    vocabulary += [f"{letter}</w>" for letter in "abcdefghijklmnopqrstuvwxyz"]
    numbers = {word: number for number, word in enumerate(vocabulary)}
    (texts / "vocab.json").write_text(json.dumps(numbers))
    (texts / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(
        str(texts / "vocab.json"), str(texts / "merges.txt"), model_max_length=16
    )
    text_encoder = transformers.CLIPTextModel(
        transformers.CLIPTextConfig(
            vocab_size=len(vocabulary),
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=16,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    )
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=4,
    )
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=16,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    diffusers.StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=diffusers.DDIMScheduler(
            steps_offset=1, clip_sample=False, prediction_type=prediction
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder / "model")
    return folder / "model"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_pipeline(tmp_path_factory.mktemp("pipeline"))


def picture(height: int = 33, width: int = 48) -> np.ndarray:
    return np.random.default_rng(1).random((1, 3, height, width), np.float32)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_loss_agrees_with_the_model_parts(prediction: str, tmp_path: Path) -> None:
    folder = tiny_pipeline(tmp_path, prediction=prediction)
    loss = load_denoising_loss(folder, "cpu")
    diffusers: Any = pytest.importorskip("diffusers")
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    given = torch.from_numpy(picture(32, 48))
    generator = torch.Generator().manual_seed(5)
    step = torch.randint(0, 1000, (1,), generator=generator)
    noise = torch.randn((1, 4, 16, 24), generator=generator)
    with torch.no_grad():
        latent = 0.18215 * theirs.vae.encode(given * 2 - 1).latent_dist.mean
        kept = theirs.scheduler.alphas_cumprod[step].sqrt()
        lost = (1 - theirs.scheduler.alphas_cumprod[step]).sqrt()
        caption = theirs.encode_prompt("a painting", "cpu", 1, False)[0]
        answer = theirs.unet(kept * latent + lost * noise, step, caption).sample
        wanted = {"epsilon": noise, "v_prediction": kept * noise - lost * latent, "sample": latent}
        expected = (answer - wanted[prediction]).square().mean()
    assert torch.allclose(loss(given, seed=5), expected, rtol=1e-4)


def test_term_is_seeded_per_iteration_and_has_a_gradient(model: Path) -> None:
    original = picture()
    term = FusedTerm(load_denoising_loss(model, "cpu"), original, 1 - original, seed=3)
    values = [term(original, iteration)[0] for iteration in (0, 1, 0)]
    assert values[0] == values[2] != values[1]
    _, gradient = term(original, 0)
    step = np.float32(0.003) * gradient / np.abs(gradient).max()
    up, down = (term(original + sign * step, 0)[0] for sign in (1, -1))
    assert (up - down) / 2 == pytest.approx(float((gradient * step).sum()), rel=0.05)


def mist_layer(pixels: Any, model: Path | None) -> Any:
    options = ProtectionOptions(mist_model=model, seed=4)
    return load_stage("mist").apply(StageInput(pixels, pixels, None, options, Controls()))


def test_mist_is_fused_only_with_a_named_model(model: Path, textured: Any) -> None:
    pixels = textured[:40, :64].copy()
    plain, fused = mist_layer(pixels, None), mist_layer(pixels, model)
    assert (plain.metrics["mode"], fused.metrics["mode"]) == ("textural", "fused")
    assert not np.array_equal(plain.pixels, fused.pixels)
    assert np.array_equal(fused.pixels, mist_layer(pixels, model).pixels)
    assert np.abs(fused.pixels.astype(int) - pixels).max() <= 8


def test_mist_raises_the_diffusion_loss(
    model: Path, textured: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, seeds, whole = textured[:40, :64].copy(), [], DenoisingLoss.__call__

    def noted(self: DenoisingLoss, pictures: torch.Tensor, *, seed: int) -> torch.Tensor:
        seeds.append(seed)
        return whole(self, pictures, seed=seed)

    monkeypatch.setattr(DenoisingLoss, "__call__", noted)
    fused = mist_layer(pixels, model)
    monkeypatch.undo()
    loss = load_denoising_loss(model, "cpu")

    @torch.no_grad()
    def drawn(layer: Any) -> float:
        return sum(loss(torch.from_numpy(to_picture(layer)), seed=seed).item() for seed in seeds)

    assert len(set(seeds)) == fused.metrics["iterations"]
    assert drawn(fused.pixels) > drawn(pixels)
    assert drawn(mist_layer(pixels, None).pixels) < drawn(fused.pixels)


def test_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingModel, match=r"model_index\.json") as caught:
        load_denoising_loss(tmp_path, "cpu")
    assert "setting mist_model" in caught.value.public
    assert str(tmp_path) not in caught.value.public


def test_folder_of_another_model_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("diffusers", reason="needs the optional extra `fused`")
    pytest.importorskip("transformers", reason="needs the optional extra `fused`")
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(UnusableModel, match="expected a Stable Diffusion pipeline") as caught:
        load_denoising_loss(tmp_path, "cpu")
    assert str(tmp_path.parent) not in caught.value.public


def test_out_of_memory_does_not_blame_the_model(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*given: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("artscraper_runner.latent.diffusion_loss.DenoisingLoss", fails)
    load_denoising_loss.cache_clear()
    with pytest.raises(MemoryError):
        load_denoising_loss(model, "cpu")


@pytest.mark.parametrize("package", ["torch", "diffusers", "transformers"])
def test_missing_package_names_the_install_command(
    package: str, model: Path, textured: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(name: str) -> object:
        return None if name == package else find_spec(name)

    monkeypatch.setattr(models, "find_spec", found)
    with pytest.raises(MissingDependency, match=r"artscraper-gateway\[fused\]") as caught:
        mist_layer(textured[:40, :64], model)
    assert caught.value.package == package
