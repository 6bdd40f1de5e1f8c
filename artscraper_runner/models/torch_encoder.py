"""Encoders that torch computes, behind the protocol of all encoders; the extra `torch`."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from artscraper_runner.models.padding import pad_adjoint, pad_to_multiple
from artscraper_runner.models.protocol import Array, EncoderOptions, QuadraticObjective
from artscraper_runner.models.weights import UnusableModel, check_finite

N = TypeVar("N", bound=nn.Module)
# Latent cells. torch 2.13's bfloat16 convolution on CPUs reads memory that nothing wrote where a
# feature map is very narrow: seen at a single cell, never at two.
NARROWEST_IN_BFLOAT16 = 4


class TorchEncoder:
    """A frozen torch network as an encoder; see `protocol.Encoder`.

    Inside it computes channels-last, on a CUDA device if there is one, and in bfloat16 if that is
    native (or requested) and no side is shorter than NARROWEST_IN_BFLOAT16 latent cells.

    Attributes:
        latent_channels: C of the network's latents (N, C, h, w).
        is_bfloat16: whether it computes in bfloat16; answers are float32 either way.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        name: str,
        latent_channels: int,
        stride: int,
        options: EncoderOptions,
    ) -> None:
        self.name, self.stride, self.latent_channels = name, stride, latent_channels
        self.device = torch_device(options.accelerator)
        requested = options.bfloat16
        self.is_bfloat16 = is_bfloat16_native(self.device) if requested is None else requested
        self.network = to_device(network, self.device).eval().requires_grad_(False)

    def latents(self, pictures: Array) -> Array:
        """Return latents (N, D) of pictures (N, 3, H, W)."""
        try:
            with torch.no_grad():
                latents = self._forward(self._on_device(pictures))
        except torch.OutOfMemoryError as error:
            raise memory_error(error) from error
        return np.asarray(latents.flatten(1).cpu().numpy(), np.float32)

    def value_and_gradient(
        self, picture: Array, objective: QuadraticObjective
    ) -> tuple[float, Array]:
        """Return the objective of a picture (1, 3, H, W) and its gradient."""
        try:
            latent, gradient = self._gradient(picture, objective)
        except torch.OutOfMemoryError as error:
            raise memory_error(error) from error
        size = (picture.shape[2], picture.shape[3])
        return objective.value(latent), pad_adjoint(gradient, size, self.stride)

    def _gradient(self, picture: Array, objective: QuadraticObjective) -> tuple[Array, Array]:
        leaf = self._on_device(picture).requires_grad_(True)
        latent = self._forward(leaf).flatten(1)
        reference, pull = (
            torch.from_numpy(values).to(self.device)
            for values in (objective.reference, objective.pull)
        )
        way = latent - reference
        score = (way * (objective.spread * way + pull)).sum()
        (gradient,) = torch.autograd.grad(score, leaf)
        return latent.detach().cpu().numpy(), np.ascontiguousarray(gradient.cpu().numpy())

    def _on_device(self, pictures: Array) -> torch.Tensor:
        padded = np.ascontiguousarray(pad_to_multiple(pictures, self.stride))
        tensor = torch.from_numpy(padded).to(self.device, copy=True)
        return tensor.contiguous(memory_format=torch.channels_last)

    def _forward(self, padded: torch.Tensor) -> torch.Tensor:
        is_narrow = min(padded.shape[-2:]) < NARROWEST_IN_BFLOAT16 * self.stride
        enabled = self.is_bfloat16 and not is_narrow
        with torch.autocast(padded.device.type, dtype=torch.bfloat16, enabled=enabled):
            latents: torch.Tensor = self.network(padded)
        return latents.float()


def torch_device(accelerator: str) -> torch.device:
    """Return torch's device for the setting `accelerator`: CUDA unless it names something else."""
    wants_cuda = accelerator in ("auto", "cuda")
    return torch.device("cuda" if wants_cuda and torch.cuda.is_available() else "cpu")


def to_device(network: N, device: torch.device) -> N:
    """Return a network moved to a device, its weights laid out channels-last."""
    moved: N = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def is_bfloat16_native(device: torch.device) -> bool:
    """Return whether a device multiplies bfloat16 faster than float32."""
    if device.type == "cpu":
        capable = torch.cpu.get_capabilities()
        return bool(capable.get("avx512_bf16") or capable.get("amx_bf16"))
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a .safetensors or a .pth file, by key; no code in it is run.

    Raises:
        UnusableModel: the file is damaged, or holds something else than tensors of finite numbers.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except ModuleNotFoundError:
        raise  # the registry names the package to install
    except Exception as exc:  # the two readers raise a dozen kinds between them
        raise UnusableModel(path, "expected tensors", detail=str(exc)) from exc
    if not isinstance(state, dict) or not all(map(torch.is_tensor, state.values())):
        raise UnusableModel(path, f"expected a dict of tensors, found {type(state).__name__}")
    check_finite(path, (tensor.float().numpy() for tensor in state.values()))
    return state


def memory_error(error: torch.OutOfMemoryError) -> MemoryError:
    """Free what the device has cached, and return the error to raise instead."""
    torch.cuda.empty_cache()
    return MemoryError(str(error))
