"""Which queue a job waits in."""

from __future__ import annotations

from artscraper_gateway.job_queue import _THROUGH_AN_ENCODER
from artscraper_runner.protections import load_stage, stage_names
from artscraper_runner.protections.latent_attack import LatentAttack


def test_the_stages_that_look_through_an_encoder_are_known() -> None:
    found = {name for name in stage_names() if isinstance(load_stage(name), LatentAttack)}
    assert found | {"fawkes"} == _THROUGH_AN_ENCODER  # fawkes looks through a face network
