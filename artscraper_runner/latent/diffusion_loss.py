"""How badly a diffusion model denoises a picture: the second term of Mist's fused mode.

Liang and Wu 2023 (arXiv 2305.12683): each iteration draws a timestep and noise, and climbs the
model's denoising loss together with the nearness of the latent to the target. Re-implemented, over
a latent diffusion model with a text condition (Stable Diffusion 1 and 2) in diffusers' layout.
Differs: the weight is given as a share of the way to the target, as the engine's other terms are.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from artscraper_runner.errors import MissingDependency, MissingModel
from artscraper_runner.models.base import padded_to_multiple
from artscraper_runner.models.weights import UnusableModel

INSTALL = "pip install 'artscraper-gateway[fused]'"
CAPTION = "a painting"
PUBLISHED_WEIGHT = 1e4  # beside the sum of squares that is left of the way to the target
_LAYOUT = "model_index.json"


class DenoisingLoss:
    """The loss of a pipeline's UNet, differentiable in the pictures; nothing in it is trained.

    Attributes:
        stride: pixels per latent cell.
    """

    def __init__(self, pipeline: Any) -> None:
        from diffusers import DDPMScheduler

        self.stride = 2 ** (len(pipeline.vae.config.block_out_channels) - 1)
        self._vae, self._unet = pipeline.vae, pipeline.unet
        schedule: Any = DDPMScheduler  # its constructors carry no types
        self._schedule = schedule.from_config(pipeline.scheduler.config)
        for network in (pipeline.vae, pipeline.unet, pipeline.text_encoder):
            network.eval().requires_grad_(False)
        with torch.no_grad():
            self._caption = pipeline.encode_prompt(CAPTION, self._unet.device, 1, False)[0]

    def latent(self, pictures: torch.Tensor) -> torch.Tensor:
        """Returns scaled latent means (1, C, h, w) of float32 (1, 3, H, W) sRGB in [0, 1]."""
        padded = padded_to_multiple(pictures, self.stride)
        mean: torch.Tensor = self._vae.encode(padded * 2 - 1).latent_dist.mean
        return mean * float(self._vae.config.scaling_factor)

    def __call__(self, pictures: torch.Tensor, *, seed: int) -> torch.Tensor:
        """Returns the mean square error of the prediction at a timestep drawn from `seed`."""
        latent = self.latent(pictures)
        generator = torch.Generator().manual_seed(seed)
        steps: int = self._schedule.config.num_train_timesteps
        step = torch.randint(0, steps, (1,), generator=generator).to(latent.device)
        noise = torch.randn(latent.shape, generator=generator).to(latent)
        noisy = self._schedule.add_noise(latent, noise, step)
        answer = self._unet(noisy, step, encoder_hidden_states=self._caption).sample
        return functional.mse_loss(answer, self._wanted(latent, noise, step))

    def _wanted(
        self, latent: torch.Tensor, noise: torch.Tensor, step: torch.Tensor
    ) -> torch.Tensor:
        kind = self._schedule.config.prediction_type
        if kind == "v_prediction":
            velocity: torch.Tensor = self._schedule.get_velocity(latent, noise, step)
            return velocity
        return latent if kind == "sample" else noise


class FusedTerm:
    """The denoising loss as a term of an objective, for one picture and target.

    Called as an objective is: with pictures and the iteration's number, it answers a scalar.
    """

    def __init__(
        self, loss: DenoisingLoss, original: torch.Tensor, target: torch.Tensor, *, seed: int
    ) -> None:
        with torch.no_grad():
            way = (loss.latent(target) - loss.latent(original)).square().sum()
        self._loss, self._seed = loss, seed
        self._weight = PUBLISHED_WEIGHT / way.clamp_min(1.0)

    def __call__(self, pictures: torch.Tensor, iteration: int) -> torch.Tensor:
        """Returns the weighted loss; the same seed and iteration draw the same noise."""
        drawn = zlib.crc32(f"{self._seed} {iteration}".encode())
        return self._weight * self._loss(pictures, seed=drawn)


@lru_cache(maxsize=1)
def load_denoising_loss(folder: Path, device: str) -> DenoisingLoss:
    """Returns the loss of the model in `folder`, as diffusers' `save_pretrained` writes one.

    Only .safetensors files are read.

    Raises:
        MissingModel: there is no such model.
        MissingDependency: diffusers or transformers is not installed; names the command.
        UnusableModel: the folder holds something else.
        torch.OutOfMemoryError: the device has too little memory.
    """
    if not (folder / _LAYOUT).is_file():
        remedy = (
            "name the folder of a Stable Diffusion model in diffusers' layout (mist_model,"
            " --mist-model); without one mist runs in its textural mode"
        )
        raise MissingModel(_LAYOUT, searched=(folder,), setting="mist_model", remedy=remedy)
    try:
        import transformers  # noqa: F401  diffusers makes do without, and fails later
        from diffusers import StableDiffusionPipeline
    except ModuleNotFoundError as exc:
        package = (exc.name or "").partition(".")[0]
        if package not in ("diffusers", "transformers"):
            raise
        raise MissingDependency(package, "mist's fused mode", INSTALL) from exc
    reader: Any = StableDiffusionPipeline
    try:
        pipeline = reader.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, safety_checker=None
        )
        return DenoisingLoss(pipeline.to(device))
    except torch.OutOfMemoryError:
        raise
    except Exception as exc:  # diffusers raises many kinds for a damaged or a foreign folder
        reason = "expected a Stable Diffusion pipeline"
        raise UnusableModel(folder, reason, detail=str(exc)) from exc
