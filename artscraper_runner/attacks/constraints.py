"""What a perturbation must keep to: the sets that the attack loop projects onto.

Perturbations are float32 (1, 3, H, W), of sRGB in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class Constraint(Protocol):
    """A set of allowed perturbations."""

    @property
    def step(self) -> Array:
        """How long a whole step is at each value; broadcasts to the picture, >= 0."""

    def project(self, perturbation: Array) -> Array:
        """Return an allowed perturbation near the given one, which may be written to."""


@dataclass(frozen=True)
class Box:
    """Each value between `low` <= 0 and `high` >= 0, like the picture."""

    low: Array
    high: Array
    step: Array

    @classmethod
    def around(cls, picture: Array, *, start: Array, bound: Array) -> Box:
        """Return the box of a bound that also keeps the picture within [0, 1].

        Args:
            picture: float32 (1, 3, H, W) in [0, 1].
            start: the perturbation so far. Where it exceeds the bound already it may stay or go
                back, but not as far the other way.
            bound: broadcasts to the picture, >= 0.
        """
        low = np.maximum(np.minimum(-bound, start), -picture)
        high = np.minimum(np.maximum(bound, start), 1 - picture)
        return cls(low, high, bound)

    def project(self, perturbation: Array) -> Array:
        """Clip to the box."""
        return np.clip(perturbation, self.low, self.high, out=perturbation)


@dataclass(frozen=True)
class Refined:
    """A box, and a further projection that is made before that onto the box."""

    box: Box
    refine: Callable[[Array], Array]

    @property
    def step(self) -> Array:
        """The box's."""
        return self.box.step

    def project(self, perturbation: Array) -> Array:
        """Refine, then clip to the box."""
        return self.box.project(self.refine(perturbation))
