"""Every sample passes its linter and matches the gateway."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from artscraper_gateway.app import create_app
from artscraper_gateway.cli.main import config_from, settings_parser
from artscraper_gateway.settings.groups import ENVIRONMENT_PREFIX
from artscraper_gateway.settings.model import GatewayConfig
from tests.deploy.conftest import DEPLOY, REPOSITORY, checked, tool

pytestmark = pytest.mark.system

CHECKS = "pip install '.[checks]'"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
_OPEN_REQUESTS_S = 3  # `server.py`


def manifests() -> list[dict[str, Any]]:
    return [each for path in MANIFESTS for each in yaml.safe_load_all(path.read_text())]


def the(kind: str, name: str) -> dict[str, Any]:
    (found,) = [m for m in manifests() if (m["kind"], m["metadata"]["name"]) == (kind, name)]
    return found


def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return content


def parsed(arguments: list[str], settings: dict[str, str]) -> GatewayConfig:
    """Return the gateway's parse of a command line and variables; it refuses unknown ones."""
    command, *options = arguments
    fields = {
        name.removeprefix(ENVIRONMENT_PREFIX).lower(): value
        for name, value in settings.items()
        if name.startswith(ENVIRONMENT_PREFIX) and not name.endswith("_FILE")
    }
    given = config_from(settings_parser(command).parse_args(options))
    return GatewayConfig(**{**fields, **given.model_dump(include=given.model_fields_set)})


def test_dockerfile_passes_hadolint() -> None:
    checked(tool("hadolint", install=CHECKS), "--strict-labels", "Dockerfile")


def test_dockerfile_copies_existing_unignored_files() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    allowed = {
        line[1:]
        for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = [
        name
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for name in shlex.split(line)[:-1]
    ]
    assert copied and set(copied) == allowed
    assert all((REPOSITORY / name).exists() for name in copied)
    for lock in re.findall(r"locks/[a-z-]+\.txt", text):
        assert (REPOSITORY / lock).exists()
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)


def test_compose_file_is_valid() -> None:
    checked(
        tool("check-jsonschema", install=CHECKS),
        *("--builtin-schema", "vendor.compose-spec", "compose.yaml"),
    )


def test_compose_file_has_valid_settings() -> None:
    services = compose()["services"]
    given = {"ARTSCRAPER_HOST": "art.example.org"}
    for name in ("gateway", "worker-1", "worker-2"):
        service = services[name]
        settings = {
            key: re.sub(r"\$\{([A-Z_]+)[^}]*\}", lambda match: given[match[1]], value)
            for key, value in service["environment"].items()
        }
        config = parsed(service["command"], settings)
        assert config.output_parent == "s3://artscraper/results"
        assert config.worker_concurrency == (0 if name == "gateway" else 1)
        assert settings["ARTSCRAPER_GATEWAY_DATABASE_URL_FILE"] == "/run/secrets/database_url"
        grace_s = float(service["stop_grace_period"].removesuffix("s"))
        assert grace_s > config.drain_notice + config.drain_timeout + _OPEN_REQUESTS_S
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
    hosts = [services[name]["hostname"] for name in ("worker-1", "worker-2")]
    assert len(set(hosts)) == 2
    published = [name for name, service in services.items() if "ports" in service]
    assert published == ["caddy"]
    named = set(re.findall(r"^([A-Z_]+)=", (DEPLOY / "compose.env.example").read_text(), re.M))
    variables = set(re.findall(r"\$\{([A-Z_]+)", (DEPLOY / "compose.yaml").read_text()))
    assert variables == named


def test_compose_services_are_limited_and_isolated() -> None:
    for name, service in compose()["services"].items():
        assert service["mem_limit"] and service["pids_limit"], name
        assert "healthcheck" in service or name in ("gateway", "caddy"), name
    outside = {
        name for name, each in compose()["services"].items() if "outside" in each["networks"]
    }
    assert outside == {"gateway", "caddy"}
    assert compose()["networks"]["inside"] == {"internal": True}


def test_kubernetes_workers_reach_only_database_and_storage() -> None:
    policy = the("NetworkPolicy", "workers")["spec"]
    labels = the("StatefulSet", "workers")["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert policy["ingress"] == []
    assert {port["port"] for rule in policy["egress"] for port in rule["ports"]} == {53, 5432, 9000}
    labels = the("Deployment", "gateway")["spec"]["template"]["metadata"]["labels"]
    gateway = the("NetworkPolicy", "gateway")["spec"]
    assert gateway["podSelector"]["matchLabels"].items() <= labels.items()


def test_external_images_have_a_release() -> None:
    services = compose()["services"].values()
    images = [service["image"] for service in services if "build" not in service]
    for kind, name in (("Deployment", "gateway"), ("StatefulSet", "workers")):
        images += [
            each["image"] for each in the(kind, name)["spec"]["template"]["spec"]["containers"]
        ]
    assert len(images) == 5
    for image in images:
        _, _, tag = image.rpartition("/")[2].partition(":")
        assert tag and tag != "latest", image


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_kubernetes_manifests_are_valid(path: Path) -> None:
    validate = tool("kubernetes-validate", install=CHECKS)
    output = checked(validate, "--strict", "-k", "1.33", path)
    assert output.count("passed") == len(list(yaml.safe_load_all(path.read_text())))


def test_kubernetes_manifests_have_valid_settings() -> None:
    settings = the("ConfigMap", "artscraper")["data"]
    app = create_app(GatewayConfig())
    paths = {getattr(route, "path", "") for route in app.routes} | set(app.openapi()["paths"])
    for kind, name in (("Deployment", "gateway"), ("StatefulSet", "workers")):
        spec = the(kind, name)["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        config = parsed(container["args"], settings)
        needed_s = config.drain_timeout
        if kind == "Deployment":
            assert config.worker_concurrency == 0
            needed_s = config.drain_notice + _OPEN_REQUESTS_S
            probes = [container[f"{which}Probe"] for which in ("startup", "liveness", "readiness")]
            assert {probe["httpGet"]["path"].partition("?")[0] for probe in probes} <= paths
            readiness = probes[2]
            seen_s = readiness["periodSeconds"] * readiness["failureThreshold"]
            assert config.drain_notice > seen_s, "requests would still come when it is gone"
        assert spec["terminationGracePeriodSeconds"] > needed_s
        assert spec["securityContext"]["runAsNonRoot"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert [each["configMapRef"]["name"] for each in container["envFrom"]] == ["artscraper"]
        assert container["resources"]["limits"].keys() == {"cpu", "memory"}
        assert {"startupProbe", "livenessProbe"} <= container.keys()
        (secret,) = [each["secret"] for each in spec["volumes"] if "secret" in each]
        assert secret["secretName"] == "artscraper"
        mounted = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
        named = [value for key, value in settings.items() if key.endswith("_FILE")]
        assert len(named) == 2
        assert {str(Path(each).parent) for each in named} == {mounted["secrets"]}


def test_ingress_hides_cluster_endpoints() -> None:
    (rule,) = the("Ingress", "gateway")["spec"]["rules"]
    entries = rule["http"]["paths"]
    assert {entry["backend"]["service"]["name"] for entry in entries} == {"gateway"}
    app = create_app(GatewayConfig())
    paths = {getattr(route, "path", "") for route in app.routes} | set(app.openapi()["paths"])

    def is_let_in(path: str) -> bool:
        return any(
            path == entry["path"]
            or (entry["pathType"] == "Prefix" and path.startswith(entry["path"] + "/"))
            for entry in entries
        )

    assert {path for path in paths if path and not is_let_in(path)} == {"/metrics", "/readyz"}


def test_kubernetes_services_select_their_pods() -> None:
    for name, kind in (("gateway", "Deployment"), ("workers", "StatefulSet")):
        labels = the(kind, name)["spec"]["template"]["metadata"]["labels"]
        assert the("Service", name)["spec"]["selector"].items() <= labels.items()
        assert the(kind, name)["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert the("StatefulSet", "workers")["spec"]["serviceName"] == "workers"


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_units_are_valid_and_hardened(path: Path, tmp_path: Path) -> None:
    analyse = tool("systemd-analyze", install="apt-get install systemd")
    copy = tmp_path / path.name
    copy.write_text(path.read_text().replace("/opt/artscraper/bin/python", sys.executable))
    output = checked(analyse, "verify", "--recursive-errors=no", copy)
    assert path.name not in output, output
    checked(analyse, "security", "--offline=true", "--threshold=20", copy)  # of 100; 100 = bare


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_units_have_valid_options(path: Path) -> None:
    text = path.read_text()
    (command,) = re.findall(r"^ExecStart=\S+ -m artscraper_gateway (.+)$", text, re.MULTILINE)
    example = (DEPLOY / "systemd/gateway.env.example").read_text()
    settings = dict(re.findall(r"^#? ?([A-Z_]+)=(.+)$", example, re.MULTILINE))
    config = parsed(command.split(), settings)
    assert config.worker_concurrency == 2 and str(config.base_dir).startswith("/var/lib/artscraper")
    (timeout,) = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert float(timeout) > config.drain_notice + config.drain_timeout + _OPEN_REQUESTS_S


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_units_name_an_installed_document(path: Path) -> None:
    (named,) = re.findall(r"^Documentation=file:(\S+)$", path.read_text(), re.MULTILINE)
    document = REPOSITORY / "docs" / "operations.md"
    lines = document.read_text().splitlines()
    assert f"install -D -m 0644 docs/{document.name} {named}" in lines


def test_prometheus_samples_are_valid() -> None:
    promtool = tool("promtool", install="apt-get install prometheus")
    checked(promtool, "check", "config", "prometheus/prometheus.yml")
