"""The stage `fawkes`: cloak every face against face recognition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from artscraper_runner.errors import MissingDependency
from artscraper_runner.stages.stage import Stage, StageInput
from artscraper_runner.types import Json, Project, StageResult

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NO_FACE = "no face found"
DLIB = "dlib_face_recognition_resnet_model_v1"


class Fawkes(Stage):
    """Cloaking of Shan et al. 2020 (arXiv 2002.08327), re-implemented, against dlib's recogniser
    or the one that the option `recogniser` names.

    Untargeted as in the release 1.0, or, with `fawkes_target`, towards another person, as in the
    paper. Differs: under the preset `default` the smallest change that is enough, on the
    picture itself (`faces/minimum_norm.py`), through the alignment, averaged over its errors, JPEG
    and halving, within what may be seen; Linf bounds the change in every preset, DSSIM in
    `published` as well; faces are
    found by dlib's frontal detector.
    """

    name = "fawkes"
    description = (
        "Moves every face away from what dlib's recogniser of 2017 knows; other recognisers that"
        " were measured are not fooled."
    )
    project = Project(
        "Fawkes", "face cloaking (Shan et al. 2020, arXiv 2002.08327), re-implemented"
    )
    measures_final = True
    is_bounded_by_sight = True

    def apply(self, inputs: StageInput) -> StageResult:
        """Return the layer before with its faces cloaked, or why there is nothing to cloak.

        Raises:
            MissingDependency: the extra `faces` is not installed and the caller named the stages.
            Cancelled: the caller cancelled the run.
            RunnerError: the weights or the target cannot be used.
        """
        from artscraper_runner.faces.network import require_faces

        try:
            require_faces()
        except MissingDependency as error:
            if inputs.stages_explicit:
                raise
            return StageResult(None, reason=str(error))
        return self._cloaked(inputs)

    def measure(self, saved: NDArray[np.uint8], inputs: StageInput) -> Json:
        """Return the distances of each face of the layer as saved; see `face_records`."""
        return _records(saved, inputs)

    def _cloaked(self, inputs: StageInput) -> StageResult:
        from artscraper_runner.attacks.presets import STRENGTHS
        from artscraper_runner.faces.cloak import Cloaking, Identity, attacked_recogniser
        from artscraper_runner.faces.detection import faces_in
        from artscraper_runner.faces.recognisers import public_name

        faces = faces_in(inputs.original, inputs.cache)
        if not faces:
            return StageResult(None, reason=NO_FACE)
        options = inputs.options
        target, recogniser = options.fawkes_target, attacked_recogniser(options)
        identity = None if target is None else Identity.in_picture(target, recogniser)
        cloaking = Cloaking(
            inputs.original,
            inputs.alpha,
            options,
            identity,
            visibility=inputs.visibility,
            recogniser=recogniser,
        )
        pixels, iterations = cloaking.run(inputs.pixels, faces, inputs.controls)
        return StageResult(
            pixels,
            metrics={
                "preset": options.preset,
                "strength": options.strength,
                "budget": STRENGTHS[options.strength].budget,
                "seed": options.seed,
                "recogniser": DLIB if recogniser is None else public_name(options.recogniser),
                "targeted": identity is not None,
                "iterations": iterations,
            },
        )


def _records(pixels: NDArray[np.uint8], inputs: StageInput) -> Json:
    from artscraper_runner.faces.cloak import attacked_recogniser
    from artscraper_runner.faces.detection import faces_in
    from artscraper_runner.faces.evaluation import face_records

    faces = faces_in(inputs.original, inputs.cache)
    recogniser = attacked_recogniser(inputs.options)
    return {"faces": face_records(inputs.original, pixels, faces, recogniser=recogniser)}
