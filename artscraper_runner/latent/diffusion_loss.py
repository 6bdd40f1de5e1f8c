"""The denoising loss of a diffusion model: the second term of Mist's fused mode.

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

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from artscraper_runner.errors import MissingModel
from artscraper_runner.models.padding import pad_adjoint, pad_to_multiple
from artscraper_runner.models.torch_encoder import memory_error, torch_device
from artscraper_runner.models.weights import UnusableModel

Array = NDArray[np.float32]
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
        self.device: torch.device = self._unet.device
        with torch.no_grad():
            self._caption = pipeline.encode_prompt(CAPTION, self._unet.device, 1, False)[0]

    def latent(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return scaled latent means (1, C, h, w) of float32 (1, 3, H, W) sRGB in [0, 1].

        H and W are multiples of `stride`.
        """
        mean: torch.Tensor = self._vae.encode(pictures * 2 - 1).latent_dist.mean
        return mean * float(self._vae.config.scaling_factor)

    def __call__(self, pictures: torch.Tensor, *, seed: int) -> torch.Tensor:
        """Return the mean square error of the prediction at a timestep drawn from `seed`."""
        latent = self.latent(pictures)
        generator = torch.Generator().manual_seed(seed)
        steps: int = self._schedule.config.num_train_timesteps
        step = torch.randint(0, steps, (1,), generator=generator).to(latent.device)
        noise = torch.randn(latent.shape, generator=generator).to(latent)
        noisy = self._schedule.add_noise(latent, noise, step)
        prediction = self._unet(noisy, step, encoder_hidden_states=self._caption).sample
        return functional.mse_loss(prediction, self._prediction_target(latent, noise, step))

    def _prediction_target(
        self, latent: torch.Tensor, noise: torch.Tensor, step: torch.Tensor
    ) -> torch.Tensor:
        kind = self._schedule.config.prediction_type
        if kind == "v_prediction":
            velocity: torch.Tensor = self._schedule.get_velocity(latent, noise, step)
            return velocity
        return latent if kind == "sample" else noise


class FusedTerm:
    """The denoising loss as a term of an attack's objective, for one picture and target.

    Pictures are NumPy arrays, float32 (1, 3, H, W) sRGB in [0, 1].
    """

    def __init__(self, loss: DenoisingLoss, original: Array, target: Array, *, seed: int) -> None:
        self._loss, self._seed = loss, seed
        with torch.no_grad():
            way = loss.latent(self._tensor(target)) - loss.latent(self._tensor(original))
        self._weight = PUBLISHED_WEIGHT / max(1.0, float(way.square().sum()))

    def __call__(self, picture: Array, iteration: int) -> tuple[float, Array]:
        """Return the weighted loss and its gradient; seed and iteration determine the noise."""
        drawn = zlib.crc32(f"{self._seed} {iteration}".encode())
        leaf = self._tensor(picture).requires_grad_(True)
        try:
            loss = self._weight * self._loss(leaf, seed=drawn)
            (slope,) = torch.autograd.grad(loss, leaf)
        except torch.OutOfMemoryError as error:
            raise memory_error(error) from error
        size = (picture.shape[2], picture.shape[3])
        return loss.item(), pad_adjoint(slope.cpu().numpy(), size, self._loss.stride)

    def _tensor(self, picture: Array) -> torch.Tensor:
        padded = np.ascontiguousarray(pad_to_multiple(picture, self._loss.stride))
        return torch.from_numpy(padded).to(self._loss.device, copy=True)


@lru_cache(maxsize=1)
def load_denoising_loss(folder: Path, accelerator: str) -> DenoisingLoss:
    """Return the loss of the model in `folder`, as diffusers' `save_pretrained` writes one.

    Only .safetensors files are read.

    Raises:
        MissingModel: there is no such model.
        UnusableModel: the folder holds something else.
        MemoryError: the device has too little memory.
    """
    if not (folder / _LAYOUT).is_file():
        remedy = (
            "name the folder of a Stable Diffusion model in diffusers' layout (mist_model,"
            " --mist-model); without one mist runs in its textural mode"
        )
        raise MissingModel(_LAYOUT, searched=(folder,), setting="mist_model", remedy=remedy)
    from diffusers import StableDiffusionPipeline

    reader: Any = StableDiffusionPipeline
    try:
        pipeline = reader.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, safety_checker=None
        )
        return DenoisingLoss(pipeline.to(torch_device(accelerator)))
    except torch.OutOfMemoryError as exc:
        raise memory_error(exc) from exc
    except Exception as exc:  # diffusers raises many kinds for a damaged or a foreign folder
        reason = "expected a Stable Diffusion pipeline"
        raise UnusableModel(folder, reason, detail=str(exc)) from exc
