"""Share one visibility bound between the stages of a job.

The strength bounds the visibility of the final picture (`imaging.visibility`). A cloak, which lies
in faces only, may use most of it there. Each other stage may use the part that its share and those
of the stages before it make together; what a cloak has left of that in faces goes to them, and
outside of faces they have it all. Energies add up, so shares are shares of the square.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

CLOAK = "fawkes"
CLOAK_SHARE = 0.95  # of the whole, in faces
SHARES = {
    "photoguard": 1.2,
    "mist": 1.0,
    "nightshade": 1.0,
    "invisible-watermark": 2.0,
}


def stage_bound(visibility: float, stage: str, stages: Sequence[str]) -> float:
    """Return the bound on the visibility of the layer of `stage`.

    Args:
        visibility: the bound of the strength.
        stage: the cloak or one of `SHARES`.
        stages: the job's stages in their order; others take no part.
    """
    sharing = [name for name in stages if name in SHARES]
    if stage == CLOAK and sharing:
        return visibility * math.sqrt(CLOAK_SHARE)
    if stage not in sharing:
        return visibility
    used = sum(SHARES[name] for name in sharing[: sharing.index(stage) + 1])
    return visibility * math.sqrt(used / sum(SHARES[name] for name in sharing))
