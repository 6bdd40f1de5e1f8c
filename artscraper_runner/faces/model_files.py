"""Where the extra `faces` has put dlib and the weights of its face models."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from artscraper_runner.errors import MissingDependency

INSTALL = "pip install 'artscraper-gateway[faces]'"  # `make setup` does so
DETECTOR_PACKAGE = "dlib-bin"
WEIGHTS_PACKAGE = "face_recognition_models"
LANDMARKS = "shape_predictor_5_face_landmarks.dat"
RECOGNITION = "dlib_face_recognition_resnet_model_v1.dat"


def model_file(name: str) -> Path:
    """Returns the path of one of dlib's files of weights.

    The package is not imported, which needs a module that setuptools no longer has.

    Raises:
        MissingDependency: the package, or the file in it, is not there.
    """
    found = importlib.util.find_spec(WEIGHTS_PACKAGE)
    for folder in (found and found.submodule_search_locations) or ():
        path = Path(folder) / "models" / name
        if path.is_file():
            return path
    raise MissingDependency(WEIGHTS_PACKAGE, "face recognition", INSTALL)


def require_faces() -> None:
    """Checks that dlib and its weights are installed, without loading them.

    Raises:
        MissingDependency: a package is not installed; the message has the command that does it.
    """
    if importlib.util.find_spec("dlib") is None:
        raise MissingDependency(DETECTOR_PACKAGE, "face detection", INSTALL)
    for name in (LANDMARKS, RECOGNITION):
        model_file(name)


def is_installed() -> bool:
    """Tells whether `require_faces` would find all."""
    try:
        require_faces()
    except MissingDependency:
        return False
    return True
