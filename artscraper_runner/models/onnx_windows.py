"""ONNX operators that move a window over planes: convolution and pooling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from artscraper_runner.models.onnx_call import (
    Call,
    UnsupportedOperator,
    padded,
    planes,
    require_off,
)


@dataclass(frozen=True)
class _Window:
    """The geometry of a convolution or pooling in two dimensions."""

    kernel: list[int]
    strides: list[int]
    dilations: list[int]
    before: list[int]
    after: list[int]

    def padded(self, values: Tensor, value: float) -> Tensor:
        return padded(values, [0, 0, *self.before], [0, 0, *self.after], value)


def _window(call: Call, sides: Sequence[int], kernel: Sequence[int] | None) -> _Window:
    kernel = list(kernel if kernel is not None else call.integers("kernel_shape") or [])
    strides = call.integers("strides") or [1, 1]
    dilations = call.integers("dilations") or [1, 1]
    pads = call.integers("pads") or [0, 0, 0, 0]
    if not len(kernel) == len(strides) == len(dilations) == 2 == len(pads) // 2:
        raise UnsupportedOperator("expected windows of two dimensions")
    mode = call.choice("auto_pad", "NOTSET", ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"))
    before, after = pads[:2], pads[2:]
    if mode == "VALID":
        before, after = [0, 0], [0, 0]
    elif mode != "NOTSET":
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
        missing = [
            max((math.ceil(side / stride) - 1) * stride + length - side, 0)
            for side, stride, length in zip(sides, strides, reach, strict=True)
        ]
        less, more = [each // 2 for each in missing], [(each + 1) // 2 for each in missing]
        before, after = (less, more) if mode == "SAME_UPPER" else (more, less)
    return _Window(kernel, strides, dilations, before, after)


def conv(call: Call) -> Tensor:
    """Compute Conv in two dimensions."""
    values, weights = planes(call), call.tensor(1)
    window = _window(call, values.shape[2:], weights.shape[2:])
    return functional.conv2d(
        window.padded(values, 0.0),
        weights,
        call.optional(2),
        stride=window.strides,
        dilation=window.dilations,
        groups=call.integer("group", 1),
    )


def max_pool(call: Call) -> Tensor:
    """Compute MaxPool in two dimensions, without its indices."""
    require_off(call, "ceil_mode", "storage_order")
    values = planes(call)
    window = _window(call, values.shape[2:], None)
    padded = window.padded(values, -math.inf)
    return functional.max_pool2d(padded, window.kernel, window.strides, dilation=window.dilations)


def average_pool(call: Call) -> Tensor:
    """Compute AveragePool in two dimensions."""
    require_off(call, "ceil_mode")
    values = planes(call)
    window = _window(call, values.shape[2:], None)
    if window.dilations != [1, 1]:
        raise UnsupportedOperator("dilations are not supported; supported: 1")
    mean = functional.avg_pool2d(window.padded(values, 0.0), window.kernel, window.strides)
    if call.integer("count_include_pad", 0):
        return mean
    inside = window.padded(torch.ones_like(values[:1, :1]), 0.0)
    return mean / functional.avg_pool2d(inside, window.kernel, window.strides)
