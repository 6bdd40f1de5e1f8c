"""How the stages of a job share one bound on what may be seen.

The strength bounds the visibility of the final picture (`imaging.visibility`). A stage may use the
part of it that its share and those of the stages before it make together; what a stage leaves
unused, such as a cloak where there is no face, goes to the next one. Energies add up, so shares
are shares of the square.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

SHARES = {
    "fawkes": 1.5,
    "photoguard": 1.2,
    "mist": 1.0,
    "nightshade": 1.0,
    "invisible-watermark": 2.0,
}


def stage_bound(visibility: float, stage: str, stages: Sequence[str]) -> float:
    """Return the bound on the visibility of the layer of `stage`.

    Args:
        visibility: the bound of the strength.
        stage: one of `SHARES`.
        stages: the job's stages in their order; those that are not in `SHARES` take no part.
    """
    sharing = [name for name in stages if name in SHARES]
    if stage not in sharing:
        return visibility
    used = sum(SHARES[name] for name in sharing[: sharing.index(stage) + 1])
    return visibility * math.sqrt(used / sum(SHARES[name] for name in sharing))
