"""A recogniser of the user's: a file of `torch.export`, differentiated by torch; extra `torch`.

The program in the file takes faces float32 (N, 3, 150, 150) sRGB in [0, 1], aligned as dlib does,
for any N, and returns embeddings (N, D) of which two of one person are less than 0.6 apart.
Cropping, scaling and the order of channels are part of the program. Load only files of a source
that you trust.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.errors import MissingModel
from artscraper_runner.faces.network import CHIP_SIDE
from artscraper_runner.models import require_packages
from artscraper_runner.models.weights import UnusableModel

if TYPE_CHECKING:
    import torch

Array = NDArray[np.float32]
_TINY = 1e-12


class TorchRecogniser:
    """A network that torch computes and differentiates; see `recognisers.Recogniser`.

    `network` maps faces (N, 3, 150, 150) to embeddings (N, D).
    """

    def __init__(self, network: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self._network = network

    def embeddings(self, faces: Array) -> Array:
        """Return embeddings (N, D) of faces (N, 3, 150, 150)."""
        import torch

        with torch.no_grad():
            return np.asarray(self._network(torch.from_numpy(faces)).numpy(), np.float32)

    def distance_gradients(self, faces: Array, references: Array) -> tuple[Array, Array]:
        """Return embeddings (N, D), and the gradients of their distances from `references`."""
        import torch

        pictures = torch.from_numpy(faces).requires_grad_(True)
        embeddings = self._network(pictures)
        squares = (embeddings - torch.from_numpy(references)).square().sum(1)
        (gradients,) = torch.autograd.grad((squares + _TINY).sqrt().sum(), pictures)
        return np.asarray(embeddings.detach().numpy(), np.float32), np.asarray(gradients.numpy())


def recogniser_file(argument: str, kind: str, *, packages: Sequence[str], remedy: str) -> Path:
    """Return the path of a recogniser's file, named by `argument`.

    Raises:
        MissingDependency: one of the packages that read it is not installed.
        MissingModel: there is no such file.
    """
    require_packages(packages, f"the recogniser {kind}", extra="torch")
    path = Path(argument)
    if not path.is_file():
        raise MissingModel(path.name, searched=(path.parent,), setting="recogniser", remedy=remedy)
    return path


def load(argument: str) -> TorchRecogniser:
    """Load the recogniser in the file `argument`.

    Raises:
        MissingDependency: torch is not installed.
        MissingModel: there is no such file.
        UnusableModel: it is no exported program, or not one that maps faces to embeddings.
    """
    remedy = "name a file that torch.export.save has written"
    path = recogniser_file(argument, "torch", packages=("torch",), remedy=remedy)
    import torch

    try:
        recogniser = TorchRecogniser(torch.export.load(path).module())
        probe = recogniser.embeddings(np.zeros((2, 3, CHIP_SIDE, CHIP_SIDE), np.float32))
    except Exception as error:  # the reader and the program raise a dozen kinds between them
        reason = "expected a program of torch.export that maps faces to embeddings"
        raise UnusableModel(path, reason, detail=str(error)) from error
    if probe.ndim != 2 or len(probe) != 2 or not np.isfinite(probe).all():
        raise UnusableModel(path, f"expected finite embeddings (2, D), found {probe.shape}")
    return recogniser
