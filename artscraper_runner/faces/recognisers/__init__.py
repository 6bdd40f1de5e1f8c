"""Face recognisers by name, and what a cloak needs of one.

Adding a recogniser: one file with ``load(argument) -> Recogniser`` and one line below. Importing
this module loads no runtime; loading a recogniser does.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from artscraper_runner.models import check_model_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]
DEFAULT_RECOGNISER = "dlib"
_ENSEMBLE = "ensemble:"

_MODULES = {  # name, or kind of a name that takes an argument after ":", to its module here
    DEFAULT_RECOGNISER: "..network",
    "torch:": ".torch_program",
    "onnx:": ".onnx_graph",
    _ENSEMBLE: ".ensemble",
}
_VALID = (DEFAULT_RECOGNISER, "torch:<file.pt2>", "onnx:<file.onnx>", "ensemble:<name>+<name>")


class Recogniser(Protocol):
    """Maps aligned faces to embeddings; less than `network.SAME_PERSON` apart is one person.

    Faces are float32 (N, 3, 150, 150) sRGB in [0, 1], aligned as dlib does: a square around the
    face, the eyes level. Embeddings are float32 (N, D), compared by their Euclidean distance.
    """

    def embeddings(self, faces: Array) -> Array:
        """Return the embeddings of faces."""

    def distance_gradients(self, faces: Array, references: Array) -> tuple[Array, Array]:
        """Return embeddings, and the gradients of their distances from `references` (N, D).

        Gradients are like the faces.
        """


def check_recogniser(name: str) -> None:
    """Check the name of a recogniser without loading it or looking for its files.

    Raises:
        UnknownName: no recogniser is called that; an ensemble of fewer than two different ones, or
            of other ensembles.
    """
    check_model_name("recogniser", name, _MODULES, _VALID)


def recogniser_files(name: str) -> tuple[Path, ...]:
    """Return the files that a recogniser is read from, other than dlib's."""
    kind, colon, argument = name.partition(":")
    if kind + colon == _ENSEMBLE:
        return tuple(path for member in argument.split("+") for path in recogniser_files(member))
    return (Path(argument),) if colon else ()


def public_name(name: str) -> str:
    """Return the name of a recogniser without the folders of its files."""
    kind, colon, argument = name.partition(":")
    if kind + colon == _ENSEMBLE:
        return _ENSEMBLE + "+".join(map(public_name, argument.split("+")))
    return kind + colon + Path(argument).name


@lru_cache(maxsize=2)
def load_recogniser(name: str = DEFAULT_RECOGNISER) -> Recogniser:
    """Load the recogniser of a name as in `_VALID`, once in a process.

    Raises:
        UnknownName: no recogniser is called that.
        MissingDependency: its package or its weights are not installed.
        MissingModel, UnusableModel: its file is not there, or cannot be used.
    """
    check_recogniser(name)
    kind, colon, argument = name.partition(":")
    module = importlib.import_module(_MODULES[kind + colon], __package__)
    recogniser: Recogniser = module.load(argument)
    return recogniser
