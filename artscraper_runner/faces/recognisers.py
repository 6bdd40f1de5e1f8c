"""Face recognisers by name, and what a cloak needs of one.

Adding a recogniser: one file with ``load(argument) -> Recogniser`` and one line below. Importing
this module loads no runtime; loading a recogniser does.
"""

from __future__ import annotations

import importlib
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.errors import UnknownName

Array = NDArray[np.float32]
DEFAULT_RECOGNISER = "dlib"

_MODULES = {  # name, or kind of a name that takes an argument after ":", to its module here
    DEFAULT_RECOGNISER: "network",
    "torch:": "torch_recogniser",
    "ensemble:": "recogniser_ensemble",
}
_VALID = (DEFAULT_RECOGNISER, "torch:<file.pt2>", "ensemble:<name>+<name>")


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


def load_recogniser(name: str = DEFAULT_RECOGNISER) -> Recogniser:
    """Load a recogniser: ``dlib``, ``torch:<file.pt2>`` or ``ensemble:<name>+<name>``.

    Raises:
        UnknownName: no recogniser is called that.
        MissingDependency: its package or its weights are not installed.
        MissingModel, UnusableModel: its file is not there, or cannot be used.
    """
    kind, colon, argument = name.partition(":")
    if kind + colon not in _MODULES or (colon and not argument):
        raise UnknownName("recogniser", name, _VALID)
    module = importlib.import_module(f"{__package__}.{_MODULES[kind + colon]}")
    recogniser: Recogniser = module.load(argument)
    return recogniser
