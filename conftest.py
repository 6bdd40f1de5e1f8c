"""Test tiers: every test is `unit`, `api` or `system`, by what it uses (CONTRIBUTING.md, "Tests").

unit    pure code; starting a process fails the test
api     the app in the test's own process, with its worker on a thread
system  real processes, browsers, databases and proxies
"""

from __future__ import annotations

import gc
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NoReturn

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling
from xdist.workermanage import WorkerController

# One thread each: pytest-xdist runs one process per core. Read when torch and ONNX are loaded.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
gc.disable()  # imports and collection make many objects that stay; see pytest_collection_finish

TIERS = ("unit", "api", "system")
SYSTEM_FIXTURES = {
    "browser",
    "postgres",
    "process_gateway",
    "s3",
    "shared_gateway",
    "start_fleet",
    "start_gateway",
}
API_FIXTURES = {"fuzzed", "gateway", "start_app", "world"}
SYSTEM_MARKERS = ("slow", "fuzz", "gpu")
DATABASES = ("sqlite", "postgresql")
FILES_IN_PARTS = ("/test_storage_outages.py", "/test_connections.py")


class LoadFileAndDatabase(LoadScopeScheduling):
    """Gives the tests of one file to one worker: they share what its fixtures start.

    A file whose tests run on two databases is two such parts. Tests that take long and share
    nothing are a part each.
    """

    def _split_scope(self, nodeid: str) -> str:
        file, _, test = nodeid.partition("::")
        if file.endswith(FILES_IN_PARTS):
            return nodeid
        database = next((name for name in DATABASES if name in test), "")
        return f"{file}::{database}"

    def remove_node(self, node: WorkerController) -> str | None:
        """Return the test in which a worker crashed; queue those that it had not begun.

        pytest-xdist queues everything the worker was ever sent: also files without a test left,
        after which the next worker waits forever, and the test that crashes.
        """
        pending = [
            (scope, test)
            for scope, tests in self.assigned_work.pop(node).items()
            for test, is_finished in tests.items()
            if not is_finished
        ]
        if not pending:
            return None
        for scope, test in pending[1:]:
            self.workqueue.setdefault(scope, {})[test] = False
        for other in self.nodes:
            self._reschedule(other)
        return pending[0][1]

    def _reschedule(self, node: WorkerController) -> None:
        """Send a worker its next files: it begins a test when it has the one after or the end."""
        while (
            node in self.registered_collections  # a replacement collects the tests first
            and not node.shutting_down
            and self._pending_of(self.assigned_work[node]) < 2
        ):
            super()._reschedule(node)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """Return the scheduler of `--dist loadfile`; the others are pytest-xdist's own."""
    is_by_file = config.getvalue("dist") == "loadfile"
    return LoadFileAndDatabase(config, log) if is_by_file else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test its tier; put the files with system tests first.

    They take minutes each, and so must not begin last.
    """
    slow_files = set()
    for item in items:
        if not any(item.get_closest_marker(tier) for tier in TIERS):
            item.add_marker(_tier(item))
        if item.get_closest_marker("system") is not None:
            slow_files.add(item.path)
    items.sort(key=lambda item: item.path not in slow_files)


def pytest_collection_finish() -> None:
    """Let the garbage collector run from here on, but not over modules and test items."""
    gc.freeze()
    gc.enable()


def _database(item: pytest.Item) -> str | None:
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("database") if callspec is not None else None


def _tier(item: pytest.Item) -> str:
    fixtures = set(getattr(item, "fixturenames", ()))
    # The fixture `database` starts PostgreSQL for one of its two parameters only.
    on_server = _database(item) == "postgresql"
    if on_server or fixtures & SYSTEM_FIXTURES or any(map(item.get_closest_marker, SYSTEM_MARKERS)):
        return "system"
    return "api" if fixtures & API_FIXTURES else "unit"


@pytest.fixture(autouse=True)
def _no_process_in_unit_tests(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    if request.node.get_closest_marker("unit") is not None:
        monkeypatch.setattr(subprocess.Popen, "__init__", _refuse_process)
    yield


def _refuse_process(*_arguments: Any, **_options: Any) -> NoReturn:
    pytest.fail("a unit test starts no process; mark its module with pytest.mark.system")


@pytest.fixture
def one_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let attacks of the default preset take one step, in tests of what surrounds the attack."""
    from artscraper_runner.attacks.presets import DEFAULT_PRESET, PRESETS

    for stage_presets in PRESETS.values():
        preset = stage_presets[DEFAULT_PRESET]
        quick = {
            name: replace(rule, iterations=1)
            for name in ("rule", "full_rule", "later_rule", "refining_rule")
            if (rule := getattr(preset, name)) is not None
        }
        monkeypatch.setitem(stage_presets, DEFAULT_PRESET, replace(preset, **quick))
