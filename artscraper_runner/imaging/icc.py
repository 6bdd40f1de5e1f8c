"""Build ICC profiles for colour spaces that are given as numbers, and check ones from files.

ICC.1:2022 (profile version 4.4): matrix and parametric curves, adapted to D50 by Bradford's
transform. Primaries and transfer functions are numbered as in ITU-T H.273.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:  # a server that reads headers alone needs no NumPy
    import numpy as np
    from numpy.typing import NDArray

Chromaticities = tuple[float, ...]  # x and y of white, red, green and blue
Curve = tuple[float, ...]  # parameters g, a, b, c, d of ICC's parametric curve 3, or g alone
Matrix: TypeAlias = "NDArray[np.float64]"

_D65, _C = (0.3127, 0.3290), (0.310, 0.316)
SRGB_PRIMARIES: Chromaticities = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
SRGB_CURVE: Curve = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_ST240_CURVE: Curve = (1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4.0, 0.0913)
LINEAR_CURVE: Curve = (1.0,)
PRIMARIES: dict[int, Chromaticities] = {
    1: SRGB_PRIMARIES,
    2: SRGB_PRIMARIES,  # unspecified
    4: (*_C, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    8: (*_C, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
CURVES: dict[int, Curve] = {
    1: SRGB_CURVE,  # BT.709: browsers show its pictures with the curve of sRGB, as they do those
    2: SRGB_CURVE,  # that leave it unspecified
    4: (2.2,),
    5: (2.8,),
    6: SRGB_CURVE,
    7: _ST240_CURVE,
    8: LINEAR_CURVE,
    11: SRGB_CURVE,
    13: SRGB_CURVE,
    14: SRGB_CURVE,
    15: SRGB_CURVE,
}
HDR_CURVES = {16: "PQ", 18: "HLG"}
_BRADFORD = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
_SAME_COLUMNS = 0.002  # of XYZ
_D50 = (0.9642, 1.0, 0.8249)


@dataclass(frozen=True)
class Profile:
    """A profile that little-CMS can open; `space` is ICC's signature, such as "RGB " or "GRAY".

    `is_of_device`: a class that describes pictures, through which colours can be converted.
    """

    content: bytes
    space: str
    is_of_device: bool = True


def open_profile(content: object) -> Profile | None:
    """Return the profile, None for one that cannot be opened."""
    from PIL import ImageCms

    if not isinstance(content, bytes) or len(content) < 132:
        return None
    try:
        opened = ImageCms.ImageCmsProfile(BytesIO(content)).profile
        space, kind = opened.xcolor_space, opened.device_class
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return Profile(content, space, kind in ("mntr", "scnr", "prtr", "spac"))


def build_profile(chromaticities: Chromaticities, curve: Curve, name: str) -> bytes:
    """Return an RGB profile with these primaries and this curve on all three channels.

    Raises:
        ValueError: the chromaticities span no colour space.
    """
    return _profile(*_matrices(chromaticities), curve, name)


def with_srgb_curve(profile: Profile) -> bytes | None:
    """Return a profile of the same primaries with the curve of sRGB.

    None: the primaries are those of sRGB, or the profile has none.
    """
    import numpy as np
    from PIL import ImageCms

    opened = ImageCms.ImageCmsProfile(BytesIO(profile.content)).profile
    colorants = opened.red_colorant, opened.green_colorant, opened.blue_colorant
    if profile.space != "RGB " or any(colorant is None for colorant in colorants):
        return None
    columns = np.array([colorant[0] for colorant in colorants if colorant is not None]).T
    srgb, adaptation = _matrices(SRGB_PRIMARIES)
    if np.abs(columns - srgb).max() < _SAME_COLUMNS:
        return None
    return _profile(columns, adaptation, SRGB_CURVE, "sRGB curve")


def _profile(columns: Matrix, adaptation: Matrix, curve: Curve, name: str) -> bytes:
    """Return a profile of RGB -> XYZ of D50 `columns` (3, 3) behind a curve."""
    parametric = struct.pack(">4s4xHH", b"para", 3 if len(curve) == 5 else 0, 0)
    parametric += b"".join(_s15f16(value) for value in curve)
    tags = {
        b"desc": _text(name),
        b"cprt": _text("No copyright, use freely"),
        b"wtpt": _xyz(_D50),
        b"chad": b"sf32\0\0\0\0" + b"".join(_s15f16(value) for value in adaptation.ravel()),
        b"rXYZ": _xyz(columns[:, 0]),
        b"gXYZ": _xyz(columns[:, 1]),
        b"bXYZ": _xyz(columns[:, 2]),
        b"rTRC": parametric,
        b"gTRC": parametric,
        b"bTRC": parametric,
    }
    table, content, place = b"", b"", 128 + 4 + 12 * len(tags)
    for tag, value in tags.items():
        table += struct.pack(">4sII", tag, place + len(content), len(value))
        content += value + b"\0" * (-len(value) % 4)
    header = struct.pack(
        ">I4sI4s4s4s6H4s4sIIIQI12s48x",
        *(place + len(content), b"\0\0\0\0", 0x04400000, b"mntr", b"RGB ", b"XYZ "),
        *(2026, 1, 1, 0, 0, 0),
        *(b"acsp", b"\0\0\0\0", 0, 0, 0, 0, 0),
        b"".join(_s15f16(value) for value in _D50),
    )
    return header + struct.pack(">I", len(tags)) + table + content


def _matrices(chromaticities: Chromaticities) -> tuple[Matrix, Matrix]:
    """Return RGB -> XYZ of D50, and the adaptation from the white point to D50, both (3, 3)."""
    import numpy as np

    bradford = np.array(_BRADFORD)
    points = np.array(chromaticities, float).reshape(4, 2)
    if not np.isfinite(points).all() or (points[:, 1] <= 0).any():
        raise ValueError("expected chromaticities above 0")
    white, *primaries = [np.array([x / y, 1.0, (1 - x - y) / y]) for x, y in points]
    unscaled = np.stack(primaries, axis=1)
    if abs(np.linalg.det(unscaled)) < 1e-6:
        raise ValueError("expected three primaries that span a colour space")
    columns = unscaled * np.linalg.solve(unscaled, white)
    gains = (bradford @ _D50) / (bradford @ white)
    adaptation = np.linalg.solve(bradford, gains[:, None] * bradford)
    columns = adaptation @ columns
    if np.abs(columns).max() > 100:
        raise ValueError("expected primaries of a real colour space")
    return columns, adaptation


def _s15f16(value: float) -> bytes:
    return struct.pack(">i", round(value * 65_536))


def _xyz(values: Iterable[float]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(_s15f16(value) for value in values)


def _text(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return struct.pack(">4s4xII2s2sII", b"mluc", 1, 12, b"en", b"US", len(encoded), 28) + encoded
