"""The choice of an accelerator, and the graphs loaded by it."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from artscraper_runner.errors import UnknownName
from artscraper_runner.models import accelerators, bundled, load_encoder
from artscraper_runner.models.accelerators import (
    ACCELERATORS,
    select_accelerator,
    unavailable_reason,
)
from artscraper_runner.models.graph import GraphFailed, load_graph, release_memory, thread_count
from artscraper_runner.models.protocol import EncoderOptions
from artscraper_runner.options import ACCELERATOR_NAMES


@pytest.fixture(autouse=True)
def _forgetful():
    select_accelerator.cache_clear()
    yield
    select_accelerator.cache_clear()


def offer(monkeypatch: pytest.MonkeyPatch, *providers: str, bfloat16: bool = False) -> None:
    """Make a machine on which ONNX Runtime has these providers beside the processor."""
    monkeypatch.setattr(accelerators, "_providers", lambda: (*providers, "CPUExecutionProvider"))
    monkeypatch.setattr(accelerators, "has_native_bfloat16", lambda: bfloat16)


def test_options_list_every_accelerator() -> None:
    assert ("auto", *ACCELERATORS) == ACCELERATOR_NAMES


@pytest.mark.parametrize(
    ("providers", "bfloat16", "expected"),
    [
        ((), False, "cpu"),
        ((), True, "openvino"),
        (("CUDAExecutionProvider",), True, "cuda"),
        (("DmlExecutionProvider",), False, "directml"),
        (("CoreMLExecutionProvider",), False, "cpu"),
    ],
)
def test_auto_prefers_gpu_then_bfloat16_then_cpu(
    providers, bfloat16, expected, monkeypatch
) -> None:
    offer(monkeypatch, *providers, bfloat16=bfloat16)
    assert select_accelerator("auto") == expected


@pytest.mark.parametrize("name", ["cuda", "coreml", "directml"])
def test_missing_accelerator_falls_back_to_the_cpu_with_a_warning(
    name, monkeypatch, caplog
) -> None:
    offer(monkeypatch)
    with caplog.at_level(logging.WARNING):
        assert select_accelerator(name) == "cpu"
        encoder = load_encoder("bundled", EncoderOptions(accelerator=name))
        assert np.isfinite(encoder.latents(np.ones((1, 3, 16, 16), np.float32))).all()
    (message,) = [record.getMessage() for record in caplog.records]
    assert f"accelerator {name} is not available, using the processor" in message
    assert ACCELERATORS[name].requirement in message


def test_unusable_accelerator_falls_back_to_the_cpu(monkeypatch, caplog) -> None:
    """As where ONNX Runtime has CUDA and the machine has no driver."""
    offer(monkeypatch, "CUDAExecutionProvider")
    with caplog.at_level(logging.WARNING):
        encoder = load_encoder("bundled", EncoderOptions(accelerator="cuda"))
        expected = load_encoder("bundled", EncoderOptions(accelerator="cpu")).latents(
            np.ones((1, 3, 16, 16), np.float32)
        )
        assert np.array_equal(encoder.latents(np.ones((1, 3, 16, 16), np.float32)), expected)


def test_unknown_name_lists_valid_ones() -> None:
    with pytest.raises(UnknownName, match="valid: auto, cpu, openvino, cuda, coreml, directml"):
        select_accelerator("tpu")


def test_invalid_graph_file_is_refused(tmp_path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"broken")
    with pytest.raises(GraphFailed, match=r"broken\.onnx") as caught:
        load_graph(path, accelerator="cpu")
    assert caught.value.public == "broken.onnx could not be computed"


def test_invalid_inputs_are_refused() -> None:
    graph = load_graph(bundled.FOLDER / bundled.LATENTS_GRAPH, accelerator="cpu")
    with pytest.raises(GraphFailed):
        graph.run(["latent"], {"picture": np.ones((1, 4, 8, 8), np.float32)})


def test_out_of_memory_is_a_memory_error(monkeypatch) -> None:
    graph = load_graph(bundled.FOLDER / bundled.LATENTS_GRAPH, accelerator="cpu")

    class Full:
        def run(self, *_):
            raise RuntimeError("Failed to allocate memory for requested buffer of size 9")

    monkeypatch.setattr(graph, "_session", Full())
    with pytest.raises(MemoryError, match="allocate"):
        graph.run(["latent"], {})


def test_threads_follow_the_environment(monkeypatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert thread_count() == 3
    for value in ("", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", value)
        assert thread_count() >= 1


def test_released_memory_is_allocated_again() -> None:
    """Also while nothing was computed yet, and by OpenVINO where that is installed."""
    release_memory()
    picture = np.random.default_rng(1).random((1, 3, 40, 48), np.float32)
    for name in ("cpu", "openvino"):
        if unavailable_reason(name):
            continue
        encoder = load_encoder("bundled", EncoderOptions(accelerator=name))
        before = encoder.latents(picture)
        release_memory()
        assert np.array_equal(encoder.latents(picture), before)
