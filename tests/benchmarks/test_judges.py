"""The judges of the visibility benchmark: their order on changes whose visibility is known."""

import shutil

import numpy as np
import pytest

pytest.importorskip("ssimulacra2", reason="needs the package ssimulacra2 of the extra test")
pytest.importorskip("flip_evaluator", reason="needs the package flip-evaluator of the extra test")

from benchmarks.judges import JUDGES, Judge
from benchmarks.visibility import equally_visible_signs, random_signs

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        shutil.which("butteraugli") is None, reason="needs Debian's package butteraugli"
    ),
]


@pytest.fixture(scope="module")
def ramp() -> np.ndarray:
    columns = np.linspace(40, 200, 128).astype(np.uint8)
    return np.repeat(np.repeat(columns[None], 128, axis=0)[..., None], 3, axis=2)


@pytest.mark.parametrize("judge", JUDGES, ids=lambda judge: judge.name)
def test_judge_orders_noise_by_its_amplitude(judge: Judge, ramp: np.ndarray) -> None:
    values = [judge.visibility(ramp, random_signs(ramp, size)) for size in (0.0, 1.0, 4.0, 12.0)]
    assert values[0] == pytest.approx(0, abs=1e-6)
    assert values == sorted(values)


def test_judges_agree_with_their_scales(ramp: np.ndarray) -> None:
    """A level of noise does not show; twelve levels on a smooth ramp do."""
    butteraugli, ssimulacra2, _ = JUDGES
    faint, strong = random_signs(ramp, 1.0), random_signs(ramp, 12.0)
    assert butteraugli.as_published(butteraugli.visibility(ramp, faint)) < 1
    assert butteraugli.as_published(butteraugli.visibility(ramp, strong)) > 2
    assert ssimulacra2.as_published(ssimulacra2.visibility(ramp, faint)) > 85
    assert ssimulacra2.as_published(ssimulacra2.visibility(ramp, strong)) < 60


@pytest.mark.parametrize("judge", JUDGES, ids=lambda judge: judge.name)
def test_equally_visible_signs_match(judge: Judge, ramp: np.ndarray) -> None:
    changed = random_signs(ramp, 3.3)
    signs = equally_visible_signs(judge, ramp, changed)
    wanted = judge.visibility(ramp, changed)
    assert judge.visibility(ramp, signs) == pytest.approx(wanted, rel=0.06)
