"""What an operator of an ONNX graph is called with, and the checks that operators share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

MAX_VALUES = 2**27  # of one tensor: 512 MB


class UnsupportedOperator(ValueError):
    """A variant of an operator that is not supported; the message says which are."""


@dataclass(frozen=True)
class Call:
    """The inputs and the attributes of one node; inputs that were left out are None."""

    inputs: Sequence[Tensor | None]
    attributes: Mapping[str, object]

    def optional(self, position: int) -> Tensor | None:
        """Return an input, None without it."""
        return self.inputs[position] if position < len(self.inputs) else None

    def tensor(self, position: int = 0) -> Tensor:
        """Return an input that the operator requires."""
        value = self.optional(position)
        if value is None:
            raise UnsupportedOperator(f"expected an input at position {position}, found none")
        return value

    def number(self, name: str, default: float, position: int | None = None) -> float:
        """Return a number: the input at `position`, else the attribute `name`."""
        value = None if position is None else self.optional(position)
        found = self.attributes.get(name, default) if value is None else value.item()
        return float(found)  # type: ignore[arg-type]

    def integer(self, name: str, default: int) -> int:
        """Return an attribute that is an integer."""
        return int(self.attributes.get(name, default))  # type: ignore[call-overload, no-any-return]

    def integers(self, name: str, position: int | None = None) -> list[int] | None:
        """Return integers: the input at `position`, else the attribute `name`; None without."""
        value = None if position is None else self.optional(position)
        found = self.attributes.get(name) if value is None else value.reshape(-1).tolist()
        return None if found is None else [int(each) for each in found]  # type: ignore[attr-defined]

    def choice(self, name: str, default: str, valid: Sequence[str]) -> str:
        """Return an attribute that is one of the `valid` texts."""
        value = self.attributes.get(name, default)
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        if text not in valid:
            raise UnsupportedOperator(f"{name} {text!r}; supported: {', '.join(valid)}")
        return text


def require_off(call: Call, *names: str) -> None:
    """Refuse attributes that are not 0."""
    for name in names:
        if call.integer(name, 0):
            raise UnsupportedOperator(f"{name} is not supported; supported: {name}=0")


def planes(call: Call) -> Tensor:
    """Return the first input, which has to be (N, C, H, W)."""
    values = call.tensor()
    if values.ndim != 4:
        raise UnsupportedOperator(f"expected values (N, C, H, W), found {values.ndim} dimensions")
    return values


def check_size(shape: Sequence[int]) -> None:
    """Refuse a shape of more than MAX_VALUES values."""
    if any(side < 0 for side in shape) or math.prod(shape) > MAX_VALUES:
        raise UnsupportedOperator(f"expected at most {MAX_VALUES} values, found {list(shape)}")


def padded(values: Tensor, before: Sequence[int], after: Sequence[int], value: float) -> Tensor:
    """Pad (or crop, where negative) each axis."""
    sides = zip(before, values.shape, after, strict=True)
    check_size([left + side + right for left, side, right in sides])
    order = [each for pair in zip(reversed(after), reversed(before), strict=True) for each in pair]
    # torch lists the last axis first, what stands before each axis before what stands after it
    pairs = [each for at in range(0, len(order), 2) for each in (order[at + 1], order[at])]
    return functional.pad(values, pairs, value=value) if any(pairs) else values
