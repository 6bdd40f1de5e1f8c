"""dlib's face recognition network as a differentiable module: aligned faces to 128 numbers.

The architecture is that of dlib's `dnn_face_recognition_ex.cpp` (King 2017, Boost licence): a
ResNet of 29 convolutions, each followed by a fixed affine layer, here folded into it. Written anew;
it agrees with dlib's own `compute_face_descriptor`. Two pictures show the same person, by dlib's
usual reading, when their embeddings are less than SAME_PERSON apart.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from artscraper_runner.faces.dlib_weights import read_tensors
from artscraper_runner.models.weight_cache import cached_state
from artscraper_runner.models.weights import check_finite

CHIP_SIDE = 150  # px of an aligned face, which dlib calls a chip
EMBEDDING_LENGTH = 128
SAME_PERSON = 0.6  # Euclidean distance; dlib's documentation
_MEAN = (122.782, 117.001, 104.298)  # of red, green and blue; `input_rgb_image_sized`
_DEVIATION = 256.0
# Channels of each residual block, and whether it halves the size.
_BLOCKS = (
    *((32, False),) * 3,
    (64, True),
    *((64, False),) * 3,
    (128, True),
    *((128, False),) * 2,
    (256, True),
    *((256, False),) * 2,
    (256, True),
)


class _Block(nn.Module):
    """Two 3x3 convolutions added to the input, or to its 2x2 means where the size is halved."""

    def __init__(self, channels_in: int, channels: int, *, halves: bool) -> None:
        super().__init__()
        stride, padding = (2, 0) if halves else (1, 1)
        self.halves = halves
        self.first = nn.Conv2d(channels_in, channels, 3, stride=stride, padding=padding)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Transform a feature map (N, channels_in, h, w)."""
        inner = _convolved(self.second, functional.relu(_convolved(self.first, x)))
        if not self.halves:
            return functional.relu(inner + x)
        return functional.relu(_sum_padded(inner, functional.avg_pool2d(x, 2)))


def _convolved(layer: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    """What `layer` answers; a single cell is one product of matrices.

    oneDNN's backward pass of such a convolution adds in an order that changes from run to run.
    """
    side, step, margin = layer.weight.shape[-1], layer.stride[0], int(layer.padding[0])
    if max(x.shape[-2:]) + 2 * margin >= side + step:  # there is room for a second cell
        answer: torch.Tensor = layer(x)
        return answer
    patch = functional.pad(x, [margin] * 4)[..., :side, :side]
    cells = functional.linear(patch.flatten(1), layer.weight.flatten(1), layer.bias)
    return cells[..., None, None]


def _sum_padded(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The sum of two feature maps, each continued by zeros to the larger of their sizes."""
    sizes = [max(pair) for pair in zip(a.shape[1:], b.shape[1:], strict=True)]
    return _padded(a, sizes) + _padded(b, sizes)


def _padded(x: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    channels, height, width = (size - own for size, own in zip(sizes, x.shape[1:], strict=True))
    return functional.pad(x, (0, width, 0, height, 0, channels))


class FaceNetwork(nn.Module):
    """Maps aligned faces (N, 3, 150, 150), sRGB in [0, 1], to embeddings (N, 128)."""

    mean: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 7, stride=2)
        channels_in = (32, *(channels for channels, _ in _BLOCKS))
        self.blocks = nn.ModuleList(
            _Block(before, channels, halves=halves)
            for before, (channels, halves) in zip(channels_in, _BLOCKS, strict=False)
        )
        self.head = nn.Linear(_BLOCKS[-1][0], EMBEDDING_LENGTH, bias=False)
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        """Answer the embedding of every face."""
        x = (faces * 255 - self.mean) / _DEVIATION
        x = functional.max_pool2d(functional.relu(self.stem(x)), 3, 2)
        for block in self.blocks:
            x = block(x)
        embeddings: torch.Tensor = self.head(x.mean((2, 3)))
        return embeddings


def load_face_network(path: Path, *, cache: Path | None, device: str = "cpu") -> FaceNetwork:
    """Answer the frozen network with the weights of dlib's file at `path`.

    Args:
        path: `dlib_face_recognition_resnet_model_v1.dat`.
        cache: folder in which they are kept as safetensors once they were read; None: nowhere.
        device: torch's name of the device.

    Raises:
        UnusableModel: the file is truncated, damaged or of another network.
    """
    network = FaceNetwork()
    network.load_state_dict(cached_state(path, cache, read=_folded_weights))
    return network.to(device).eval().requires_grad_(False)


def _folded_weights(path: Path) -> dict[str, torch.Tensor]:
    """The state dict from dlib's file: each convolution times the scales, plus the offsets."""
    convolutions = [
        (name, module)
        for name, module in FaceNetwork().named_modules()
        if isinstance(module, nn.Conv2d)
    ]
    shapes: list[tuple[int, int]] = []
    for _, module in convolutions:
        shapes += [(module.weight.numel() + module.out_channels, 1), (2 * module.out_channels, 1)]
    shapes.append((_BLOCKS[-1][0], EMBEDDING_LENGTH))
    tensors = iter(read_tensors(path, shapes))
    state = {}
    for name, module in convolutions:
        weights, biases = torch.split(next(tensors), [module.weight.numel(), module.out_channels])
        scales, offsets = next(tensors).chunk(2)
        state[f"{name}.weight"] = weights.view_as(module.weight) * scales.view(-1, 1, 1, 1)
        state[f"{name}.bias"] = biases * scales + offsets
    state["head.weight"] = next(tensors).view(shapes[-1]).T.contiguous()
    check_finite(path, state.values())
    return state
