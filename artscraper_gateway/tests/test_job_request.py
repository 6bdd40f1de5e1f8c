"""The request of a job: completed from the settings, stored, and read from older rows."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from artscraper_gateway.errors import ForbiddenAddress, InvalidRequest
from artscraper_gateway.jobs.request import JobOptions, JobRequest, resolve_request
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_runner import default_stages

# What a row of release 0.1 holds.
STORED_BY_0_1 = {
    "processors": ["dhash"],
    "include_hash_analysis": True,
    "include_protection": True,
    "enable_tineye": False,
    "stages": ["mist"],
    "protection": {
        "strength": "high",
        "encoder": "bundled",
        "preset": "published",
        "seed": 7,
        "nightshade_target": "city",
        "watermark_text": "by Ada",
        "watermark_payload": None,
    },
    "insists": True,
    "target_files": {"fawkes_target": "fawkes-target.png"},
    "origin": {"request_id": "r-1"},
}


def test_options_override_settings() -> None:
    settings = {"stages": ("c2pa", "mist"), "seed": 7, "nightshade_target": "city"}
    config = GatewayConfig(preset="published", strength="low", **settings)
    request = resolve_request(JobOptions(), config)
    assert request.stages == ("mist", "c2pa") and not request.stages_explicit
    assert (request.preset, request.strength, request.seed) == ("published", "low", 7)
    assert request.nightshade_target == "city"
    options = JobOptions(
        stages=["photoguard"], seed=0, nightshade_target="forest", preset="default"
    )
    request = resolve_request(options, config)
    assert request.stages == ("photoguard",) and request.stages_explicit
    assert (request.preset, request.seed, request.nightshade_target) == ("default", 0, "forest")


RIGHTS = {"copyright_notice": "(c) Ada", "usage_terms": "ask first", "allow_search_engines": True}


def test_recogniser_is_a_setting_and_no_option_of_jobs() -> None:
    name = "ensemble:dlib+torch:/models/other.pt2"
    request = resolve_request(JobOptions(), GatewayConfig(recogniser=name))
    assert request.protection_options(GatewayConfig(recogniser=name)).recogniser == name
    with pytest.raises(ValidationError):
        JobOptions(recogniser="torch:/etc/passwd")  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="valid: dlib"):
        GatewayConfig(recogniser="arcface")


def test_rights_default_to_settings() -> None:
    config = GatewayConfig(**RIGHTS)
    request = resolve_request(JobOptions(stages=["c2pa"]), config)
    assert {name: getattr(request, name) for name in RIGHTS} == RIGHTS
    options = JobOptions(stages=["c2pa"], usage_terms="none", allow_search_engines=False)
    request = resolve_request(options, config)
    assert (request.copyright_notice, request.usage_terms) == ("(c) Ada", "none")
    assert not request.allow_search_engines


@pytest.mark.parametrize("options", [{"stages": ["mist"]}, {}, {"include_protection": False}])
def test_rights_of_settings_need_c2pa(options: dict[str, Any]) -> None:
    request = resolve_request(JobOptions(**options), GatewayConfig(**RIGHTS))
    assert request.protection_options(GatewayConfig()).rights.is_empty
    with pytest.raises(InvalidRequest, match="expected c2pa in stages"):
        resolve_request(JobOptions(**options, usage_terms="ask"), GatewayConfig(**RIGHTS))


@pytest.mark.parametrize("text", ["", "x" * 501, "two\nlines", "\u202eright to left"])
def test_rights_of_settings_are_one_line(text: str) -> None:
    for name in ("copyright_notice", "usage_terms"):
        with pytest.raises(ValidationError, match=f"{name}\n.*expected"):
            GatewayConfig(**{name: text})


def test_stages_default_to_settings() -> None:
    config = GatewayConfig()
    assert resolve_request(JobOptions(), config).stages == default_stages()
    assert resolve_request(JobOptions(include_protection=False), config).stages == ()
    with pytest.raises(InvalidRequest, match="photoguard"):
        resolve_request(JobOptions(include_protection=False, stages=["blur"]), config)
    with pytest.raises(InvalidRequest, match="expected none, since include_protection is false"):
        resolve_request(JobOptions(include_protection=False, stages=["mist"]), config)
    configured = GatewayConfig(stages=["mist"])
    assert resolve_request(JobOptions(include_protection=False), configured).stages == ()


def test_jobs_have_distinct_watermark_numbers() -> None:
    first, second = (resolve_request(JobOptions(), GatewayConfig()) for _ in range(2))
    assert first.watermark_payload and second.watermark_payload
    assert first.watermark_payload != second.watermark_payload
    options = JobOptions(watermark_text="by Ada")
    assert resolve_request(options, GatewayConfig()).watermark_payload is None


def test_callback_to_private_address_is_refused() -> None:
    with pytest.raises(ForbiddenAddress):
        resolve_request(JobOptions(callback_url="http://127.0.0.1/hook"), GatewayConfig())


def test_request_round_trips_and_is_frozen() -> None:
    request = resolve_request(JobOptions(stages=["mist"], seed=3), GatewayConfig())
    assert JobRequest.model_validate(request.model_dump(mode="json")) == request
    with pytest.raises(ValidationError, match="frozen"):
        request.seed = 4  # type: ignore[misc]


def test_requests_stored_by_older_releases_are_read() -> None:
    request = JobRequest.model_validate(STORED_BY_0_1)
    assert request.processors == ("dhash",) and request.stages == ("mist",)
    assert request.stages_explicit and request.include_hash_analysis
    options = request.protection_options(GatewayConfig())
    assert (options.strength, options.preset, options.seed) == ("high", "published", 7)
    assert (options.nightshade_target, options.watermark_text) == ("city", "by Ada")
    assert options.watermark_method == "tiled"
    assert request.target_files == {"fawkes_target": "fawkes-target.png"}
    assert JobRequest.model_validate({}).stages == ()


def test_retry_repeats_the_request() -> None:
    config = GatewayConfig()
    options = JobOptions(stages=["mist"], strength="low", priority=5)
    again = resolve_request(options, config).to_options(priority=5, callback_url=None)
    assert (again.stages, again.strength, again.priority) == (("mist",), "low", 5)
    assert (
        resolve_request(JobOptions(), config).to_options(priority=0, callback_url=None).stages
        is None
    )
