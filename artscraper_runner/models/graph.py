"""Run the graph files of the package: by ONNX Runtime, or by OpenVINO.

Sizes are free: one loaded graph takes pictures of every size. The order of every sum is fixed, so
the same inputs give the same bytes on one machine with any number of threads.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.errors import RunnerError
from artscraper_runner.models.accelerators import (
    ACCELERATORS,
    CPU,
    OPENVINO,
    has_native_bfloat16,
    select_accelerator,
)

Array = NDArray[np.float32]
_log = logging.getLogger(__name__)


class GraphFailed(RunnerError):
    """A graph could not be loaded or computed; `detail` is the runtime's message."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name} could not be computed: {detail}")
        self.name = name

    @property
    def public(self) -> str:
        """Leave out the runtime's message, which may hold paths."""
        return f"{self.name} could not be computed"


class Graph(Protocol):
    """A loaded graph."""

    def run(self, outputs: Sequence[str], inputs: Mapping[str, Array]) -> list[Array]:
        """Return the named outputs for inputs by name, all float32.

        Raises:
            MemoryError: the device has too little memory.
            GraphFailed: the runtime refuses.
        """


def load_graph(
    path: Path, *, weights: Mapping[str, Array] | None = None, accelerator: str = "auto"
) -> Graph:
    """Load the graph file at `path`.

    Args:
        path: an ONNX file; weights that it does not hold lie in files beside it.
        weights: values of the weights instead, by name; computed by ONNX Runtime then.
        accelerator: one of `ACCELERATOR_NAMES`.

    Raises:
        GraphFailed: the file, or its weights, cannot be loaded.
        UnknownName: no accelerator is called that.
    """
    chosen = select_accelerator(accelerator)
    if chosen == OPENVINO:
        if weights is None:
            return _OpenVinoGraph(path)
        chosen = CPU
    return _OnnxRuntimeGraph(path, weights or {}, ACCELERATORS[chosen].provider)


def thread_count() -> int:
    """Return how many threads compute a graph: OMP_NUM_THREADS, or the usable processors."""
    limit = os.environ.get("OMP_NUM_THREADS", "")
    if limit.isdecimal() and int(limit) > 0:
        return int(limit)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _OnnxRuntimeGraph:
    def __init__(self, path: Path, weights: Mapping[str, Array], provider: str) -> None:
        import onnxruntime

        self._path = path
        self._runtime = onnxruntime
        self._kept = {  # the session refers to them
            name: onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(value))
            for name, value in weights.items()
        }
        self._run_options = onnxruntime.RunOptions()
        if provider == ACCELERATORS[CPU].provider:  # gives memory back after each pass
            self._run_options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        providers = list(dict.fromkeys((provider, ACCELERATORS[CPU].provider)))
        try:
            self._session = self._load(providers)
        except Exception as error:  # the runtime's errors share no base class
            if providers[1:]:
                _log.warning("%s is not usable, using the processor: %s", provider, error)
                self._session = self._load(providers[1:])
            else:
                raise GraphFailed(path.name, str(error)) from error

    def _load(self, providers: list[str]) -> Any:
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = thread_count()
        options.log_severity_level = 3
        # Planned for one size; pictures of many sizes would each keep a plan's memory.
        options.enable_mem_pattern = False
        # Threads that wait sleep: spinning slows down everything else on a busy machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if self._kept:
            options.add_external_initializers(list(self._kept), list(self._kept.values()))
        return self._runtime.InferenceSession(self._path, options, providers=providers)

    def run(self, outputs: Sequence[str], inputs: Mapping[str, Array]) -> list[Array]:
        try:
            answers: list[Array] = self._session.run(list(outputs), dict(inputs), self._run_options)
        except Exception as error:
            if "allocate" in str(error).lower() or "out of memory" in str(error).lower():
                raise MemoryError(str(error)) from error
            raise GraphFailed(self._path.name, str(error)) from error
        return answers


class _OpenVinoGraph:
    """Computed in bfloat16 where the processor has that natively, in float32 elsewhere."""

    def __init__(self, path: Path) -> None:
        from openvino import Core

        precision = "bf16" if has_native_bfloat16() else "f32"
        settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": thread_count(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        self._path = path
        self._own = threading.local()  # a request computes for one thread at a time
        try:
            self._model = Core().compile_model(path, "CPU", settings)
        except Exception as error:
            raise GraphFailed(path.name, str(error)) from error

    def run(self, outputs: Sequence[str], inputs: Mapping[str, Array]) -> list[Array]:
        if not hasattr(self._own, "request"):
            self._own.request = self._model.create_infer_request()
        try:
            answers = self._own.request.infer(dict(inputs), share_inputs=True)
        except Exception as error:
            raise GraphFailed(self._path.name, str(error)) from error
        return [np.array(answers[name], np.float32) for name in outputs]
