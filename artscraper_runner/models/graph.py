"""Run the graph files of the package: by ONNX Runtime, or by OpenVINO.

Sizes are free: one loaded graph takes pictures of every size. The order of every sum is fixed, so
the same inputs give the same bytes on one machine with any number of threads.
"""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import weakref
from collections.abc import Mapping, Sequence
from functools import lru_cache
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
# Computes nothing: its run ends with the processor's arena giving back what no other run uses.
IDENTITY_GRAPH = Path(__file__).parent / "identity.onnx"
_GROWS_BY_WHAT_IS_REQUESTED = 1  # ONNX Runtime's kSameAsRequested; by default arenas double
_log = logging.getLogger(__name__)
_openvino_graphs: weakref.WeakSet[_OpenVinoGraph] = weakref.WeakSet()


class GraphFailed(RunnerError):
    """A graph could not be loaded or computed; `detail` is the runtime's message."""

    def __init__(self, name: str, detail: str) -> None:
        text = f"{name} could not be computed"
        super().__init__(f"{text}: {detail}", public=text)  # the message may hold paths


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


def release_memory() -> None:
    """Give back the memory that graphs keep between runs: over 100 MB after pictures of 512 px.

    Runs in other threads keep theirs. The next run allocates it again, which costs
    about a tenth of its time. glibc keeps freed blocks of up to 32 MB each once it has seen blocks
    of that size, so its heap is trimmed too.
    """
    for graph in list(_openvino_graphs):
        graph.release()
    if _shared_arena.cache_info().currsize:
        _shared_arena().release()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)


class _SharedArena:
    """The memory of all graphs that ONNX Runtime computes on the processor of this process."""

    def __init__(self) -> None:
        import onnxruntime

        kind = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
        place = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, onnxruntime.OrtMemType.DEFAULT)
        strategy = onnxruntime.OrtArenaCfg({"arena_extend_strategy": _GROWS_BY_WHAT_IS_REQUESTED})
        onnxruntime.create_and_register_allocator(place, strategy)
        options = onnxruntime.SessionOptions()
        self.use_in(options)
        self._identity = onnxruntime.InferenceSession(
            IDENTITY_GRAPH, options, providers=[ACCELERATORS[CPU].provider]
        )
        self._shrinking = onnxruntime.RunOptions()
        self._shrinking.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    def use_in(self, options: Any) -> None:
        options.add_session_config_entry("session.use_env_allocators", "1")

    def release(self) -> None:
        self._identity.run(["value"], {"input": np.zeros(1, np.float32)}, self._shrinking)


@lru_cache(maxsize=1)
def _shared_arena() -> _SharedArena:
    """Return the arena of the process, created when the first graph is loaded."""
    return _SharedArena()


class _OnnxRuntimeGraph:
    def __init__(self, path: Path, weights: Mapping[str, Array], provider: str) -> None:
        import onnxruntime

        self._path = path
        self._runtime = onnxruntime
        self._kept = {  # the session refers to them
            name: onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(value))
            for name, value in weights.items()
        }
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
        _shared_arena().use_in(options)
        # Threads that wait sleep: spinning slows down everything else on a busy machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if self._kept:
            options.add_external_initializers(list(self._kept), list(self._kept.values()))
        return self._runtime.InferenceSession(self._path, options, providers=providers)

    def run(self, outputs: Sequence[str], inputs: Mapping[str, Array]) -> list[Array]:
        try:
            answers: list[Array] = self._session.run(list(outputs), dict(inputs))
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
        self._idle: list[Any] = []  # requests: each computes for one thread at a time
        try:
            self._model = Core().compile_model(path, "CPU", settings)
        except Exception as error:
            raise GraphFailed(path.name, str(error)) from error
        _openvino_graphs.add(self)

    def run(self, outputs: Sequence[str], inputs: Mapping[str, Array]) -> list[Array]:
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._model.create_infer_request()
        try:
            answers = request.infer(dict(inputs), share_inputs=True)
            return [np.array(answers[name], np.float32) for name in outputs]
        except Exception as error:
            raise GraphFailed(self._path.name, str(error)) from error
        finally:
            self._idle.append(request)

    def release(self) -> None:
        self._idle.clear()
        self._model.release_memory()
