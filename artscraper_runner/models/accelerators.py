"""Choose what computes graphs: the processor, or an installed accelerator.

| name | computed by | needs |
|---|---|---|
| cpu | ONNX Runtime on the processor | nothing more |
| openvino | OpenVINO on the processor, in bfloat16 where it has that natively | extra `openvino` |
| cuda | ONNX Runtime's CUDA provider | extra `cuda`, an NVIDIA GPU |
| coreml | ONNX Runtime's Core ML provider | macOS |
| directml | ONNX Runtime's DirectML provider | extra `directml`, Windows |

`auto` takes the first of cuda, directml and openvino that is usable, else cpu. OpenVINO counts as
usable there only on processors with native bfloat16, where it takes about half of the time; a
timing at each start would make the result depend on what else the machine does.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec

from artscraper_runner.errors import UnknownName
from artscraper_runner.options import ACCELERATOR_NAMES

AUTO, CPU, OPENVINO = "auto", "cpu", "openvino"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Accelerator:
    """A way to compute graphs; `provider` is ONNX Runtime's name, empty if it has none."""

    provider: str
    requirement: str


ACCELERATORS = {
    CPU: Accelerator("CPUExecutionProvider", ""),
    OPENVINO: Accelerator("", "pip install 'artscraper-gateway[openvino]'"),
    "cuda": Accelerator(
        "CUDAExecutionProvider",
        "an NVIDIA GPU, its driver and pip install 'artscraper-gateway[cuda]'",
    ),
    "coreml": Accelerator("CoreMLExecutionProvider", "macOS"),
    "directml": Accelerator(
        "DmlExecutionProvider", "Windows, pip install 'artscraper-gateway[directml]'"
    ),
}


def unavailable_reason(name: str) -> str:
    """Return why the accelerator `name` cannot be used on this machine; "" if it can."""
    accelerator = ACCELERATORS[name]
    if name == OPENVINO:
        usable = find_spec("openvino") is not None
    else:
        usable = accelerator.provider in _providers()
    return "" if usable else f"needs {accelerator.requirement}"


@lru_cache
def select_accelerator(name: str) -> str:
    """Return the accelerator to use for the setting `name`; never `auto`.

    One that cannot be used here is replaced by the processor, with one line in the log.

    Raises:
        UnknownName: no accelerator is called that.
    """
    if name not in ACCELERATOR_NAMES:
        raise UnknownName("accelerator", name, ACCELERATOR_NAMES)
    if name == AUTO:
        for gpu in ("cuda", "directml"):
            if not unavailable_reason(gpu):
                return gpu
        return OPENVINO if has_native_bfloat16() else CPU
    reason = unavailable_reason(name)
    if not reason:
        return name
    _log.warning("accelerator %s is not available, using the processor: it %s", name, reason)
    return CPU


@lru_cache(maxsize=1)
def _providers() -> tuple[str, ...]:
    import onnxruntime

    return tuple(onnxruntime.get_available_providers())


@lru_cache(maxsize=1)
def has_native_bfloat16() -> bool:
    """Return whether OpenVINO is installed and computes bfloat16 natively on this processor."""
    if find_spec("openvino") is None:
        return False
    from openvino import Core

    return "BF16" in Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
