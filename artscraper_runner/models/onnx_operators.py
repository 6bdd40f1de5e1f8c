"""ONNX operators as torch functions, so that a graph can be differentiated; extra `torch`.

They follow the operators' descriptions at onnx.ai. Where newer versions of an operator take as an
input what older ones have as an attribute, both are read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from artscraper_runner.models.onnx_call import (
    Call,
    UnsupportedOperator,
    check_size,
    padded,
    planes,
    require_off,
)
from artscraper_runner.models.onnx_windows import average_pool, conv, max_pool


def _batch_normalization(call: Call) -> Tensor:
    require_off(call, "training_mode")
    scale, bias, mean, variance = (call.tensor(position) for position in range(1, 5))
    epsilon = call.number("epsilon", 1e-5)
    return functional.batch_norm(call.tensor(), mean, variance, scale, bias, eps=epsilon)


def _prelu(call: Call) -> Tensor:
    values = call.tensor()
    return torch.where(values < 0, values * call.tensor(1), values)


def _clip(call: Call) -> Tensor:
    low, high = call.number("min", -math.inf, 1), call.number("max", math.inf, 2)
    return call.tensor().clamp(low, high)


def _div(call: Call) -> Tensor:
    values, divisor = call.tensor(), call.tensor(1)
    whole = not (values.is_floating_point() or divisor.is_floating_point())
    return torch.div(values, divisor, rounding_mode="trunc" if whole else None)


def _gemm(call: Call) -> Tensor:
    left = call.tensor().T if call.integer("transA", 0) else call.tensor()
    right = call.tensor(1).T if call.integer("transB", 0) else call.tensor(1)
    product = call.number("alpha", 1.0) * (left @ right)
    bias = call.optional(2)
    return product if bias is None else product + call.number("beta", 1.0) * bias


def _reduced(function: Callable[[Tensor, list[int], bool], Tensor]) -> Callable[[Call], Tensor]:
    def reduce(call: Call) -> Tensor:
        values, axes = call.tensor(), call.integers("axes", 1)
        if not axes and call.integer("noop_with_empty_axes", 0):
            return values
        return function(values, axes or list(range(values.ndim)), bool(call.integer("keepdims", 1)))

    return reduce


def _lp_normalization(call: Call) -> Tensor:
    power = call.integer("p", 2)
    return functional.normalize(call.tensor(), p=power, dim=call.integer("axis", -1), eps=1e-12)


def _flatten(call: Call) -> Tensor:
    values, axis = call.tensor(), call.integer("axis", 1)
    axis += values.ndim if axis < 0 else 0
    return values.reshape(math.prod(values.shape[:axis]), math.prod(values.shape[axis:]))


def _reshape(call: Call) -> Tensor:
    values, shape = call.tensor(), call.integers("shape", 1) or []
    if not call.integer("allowzero", 0):
        shape = [side or values.shape[axis] for axis, side in enumerate(shape)]
    return values.reshape(shape)


def _transpose(call: Call) -> Tensor:
    values = call.tensor()
    return values.permute(call.integers("perm") or list(reversed(range(values.ndim))))


def _concat(call: Call) -> Tensor:
    parts = [call.tensor(position) for position in range(len(call.inputs))]
    return torch.cat(parts, dim=call.integer("axis", 0))


def _slice(call: Call) -> Tensor:
    values = call.tensor()
    starts, ends = call.integers("starts", 1) or [], call.integers("ends", 2) or []
    axes = call.integers("axes", 3) or list(range(len(starts)))
    steps = call.integers("steps", 4) or [1] * len(starts)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        inside = torch.arange(*slice(start, end, step).indices(values.shape[axis]))
        values = values.index_select(axis, inside)
    return values


def _squeeze(call: Call) -> Tensor:
    values, axes = call.tensor(), call.integers("axes", 1)
    if axes is None:
        return values.squeeze()
    if any(values.shape[axis] != 1 for axis in axes):
        raise UnsupportedOperator(f"expected sides of 1 at {axes}, found {list(values.shape)}")
    return values.squeeze(axes)


def _unsqueeze(call: Call) -> Tensor:
    values, axes = call.tensor(), call.integers("axes", 1) or []
    for axis in sorted(axis % (values.ndim + len(axes)) for axis in axes):
        values = values.unsqueeze(axis)
    return values


def _gather(call: Call) -> Tensor:
    values, indices, axis = call.tensor(), call.tensor(1), call.integer("axis", 0)
    axis %= values.ndim
    side = values.shape[axis]
    rows = torch.where(indices < 0, indices + side, indices).reshape(-1)
    shape = [*values.shape[:axis], *indices.shape, *values.shape[axis + 1 :]]
    check_size(shape)
    return values.index_select(axis, rows).reshape(shape)


def _shape(call: Call) -> Tensor:
    sides = list(call.tensor().shape)
    ends = call.integer("start", 0), call.integer("end", len(sides))
    return torch.tensor(sides[slice(*ends)], dtype=torch.int64)


def _pad(call: Call) -> Tensor:
    call.choice("mode", "constant", ("constant",))
    values, pads = call.tensor(), call.integers("pads", 1) or []
    axes = call.integers("axes", 3) or list(range(values.ndim))
    before, after = [0] * values.ndim, [0] * values.ndim
    for axis, left, right in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        before[axis], after[axis] = left, right
    return padded(values, before, after, call.number("value", 0.0, 2))


def _resize(call: Call) -> Tensor:
    values, scales, sizes = call.tensor(), call.optional(2), call.integers("sizes", 3)
    call.choice("keep_aspect_ratio_policy", "stretch", ("stretch",))
    require_off(call, "antialias")
    linear = call.choice("mode", "nearest", ("nearest", "linear")) == "linear"
    axes = call.integers("axes") or list(range(values.ndim))
    if sizes:
        ratios = [size / values.shape[axis] for axis, size in zip(axes, sizes, strict=True)]
    elif scales is not None and scales.numel():
        ratios = [float(each) for each in scales.reshape(-1)]
        sizes = [int(values.shape[axis] * each) for axis, each in zip(axes, ratios, strict=True)]
    else:
        raise UnsupportedOperator("expected scales or sizes as inputs (opset 11 or newer)")
    for axis, size, ratio in zip(axes, sizes, ratios, strict=True):
        side = values.shape[axis]
        check_size([max(size, 1), values.numel() // max(side, 1)])
        if size == side and ratio == 1:
            continue
        places = _source_places(call, side, size, ratio)
        values = (
            _interpolated(values, axis, places)
            if linear
            else values.index_select(axis, _nearest(call, places).clamp(0, side - 1))
        )
    return values


def _source_places(call: Call, side: int, size: int, ratio: float) -> Tensor:
    """Return the places (size,), in samples of the source, that an axis is resampled at."""
    modes = ("half_pixel", "pytorch_half_pixel", "align_corners")
    mode = call.choice("coordinate_transformation_mode", "half_pixel", modes)
    places = torch.arange(size, dtype=torch.float64)
    if mode == "align_corners":
        return places * (side - 1) / max(size - 1, 1)
    if mode == "pytorch_half_pixel" and size == 1:
        return torch.zeros(1, dtype=torch.float64)
    return (places + 0.5) / ratio - 0.5


def _nearest(call: Call, places: Tensor) -> Tensor:
    modes = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    mode = call.choice("nearest_mode", "round_prefer_floor", modes)
    if mode == "round_prefer_floor":
        return (places - 0.5).ceil().long()
    if mode == "round_prefer_ceil":
        return (places + 0.5).floor().long()
    return (places.floor() if mode == "floor" else places.ceil()).long()


def _interpolated(values: Tensor, axis: int, places: Tensor) -> Tensor:
    places = places.clamp(0, values.shape[axis] - 1)
    low = places.floor().long()
    high = (low + 1).clamp(max=values.shape[axis] - 1)
    shape = [-1 if each == axis % values.ndim else 1 for each in range(values.ndim)]
    weights = (places - low).to(values.dtype).reshape(shape)
    return (
        values.index_select(axis, low) * (1 - weights) + values.index_select(axis, high) * weights
    )


def _cast(call: Call) -> Tensor:
    types = {1: torch.float32, 6: torch.int32, 7: torch.int64, 11: torch.float64}
    if (number := call.integer("to", 0)) not in types:
        raise UnsupportedOperator("expected a cast to float, double, int32 or int64")
    return call.tensor().to(types[number])


def _constant(call: Call) -> Tensor:
    for name in ("value", "value_float", "value_floats", "value_int", "value_ints"):
        if name in call.attributes:
            value = call.attributes[name]
            if isinstance(value, Tensor):
                return value
            return torch.tensor(value, dtype=torch.float32 if "float" in name else torch.int64)
    raise UnsupportedOperator("expected a tensor or numbers as its value")


def _unchanged(call: Call) -> Tensor:
    return call.tensor()


OPERATORS: Mapping[str, Callable[[Call], Tensor]] = {
    "Add": lambda call: call.tensor() + call.tensor(1),
    "AveragePool": average_pool,
    "BatchNormalization": _batch_normalization,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Constant": _constant,
    "Conv": conv,
    "Div": _div,
    "Dropout": _unchanged,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda call: planes(call).mean((2, 3), keepdim=True),
    "Identity": _unchanged,
    "LeakyRelu": lambda call: functional.leaky_relu(call.tensor(), call.number("alpha", 0.01)),
    "LpNormalization": _lp_normalization,
    "MatMul": lambda call: call.tensor() @ call.tensor(1),
    "MaxPool": max_pool,
    "Mul": lambda call: call.tensor() * call.tensor(1),
    "PRelu": _prelu,
    "Pad": _pad,
    "Pow": lambda call: call.tensor() ** call.tensor(1),
    "ReduceL2": _reduced(lambda x, axes, keep: torch.linalg.vector_norm(x, 2, axes, keep)),
    "ReduceMean": _reduced(lambda x, axes, keep: x.mean(axes, keep)),
    "ReduceSum": _reduced(lambda x, axes, keep: x.sum(axes, keep)),
    "Relu": lambda call: call.tensor().relu(),
    "Reshape": _reshape,
    "Resize": _resize,
    "Shape": _shape,
    "Sigmoid": lambda call: call.tensor().sigmoid(),
    "Slice": _slice,
    "Sqrt": lambda call: call.tensor().sqrt(),
    "Squeeze": _squeeze,
    "Sub": lambda call: call.tensor() - call.tensor(1),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
