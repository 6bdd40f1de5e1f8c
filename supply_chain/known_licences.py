"""Licences of packages that the lock files bring to some machines only, or that state none.

Read from the metadata and the licence files of the wheels that `locks/` pins. The CUDA libraries
that the image's variant `cuda` has are NVIDIA's: proprietary, free to use, and never ours to ship.
"""

from __future__ import annotations

_NVIDIA = "LicenseRef-NVIDIA-Proprietary"

KNOWN = {
    "colorama": "BSD-3-Clause",  # on Windows
    "nvidia-cublas": _NVIDIA,
    "nvidia-cuda-nvrtc": _NVIDIA,
    "nvidia-cuda-runtime": _NVIDIA,
    "nvidia-cudnn-cu13": _NVIDIA,
    "nvidia-cufft": _NVIDIA,
    "nvidia-curand": _NVIDIA,
    "nvidia-nvjitlink": _NVIDIA,
    "onnxruntime-gpu": "MIT",
    "tzdata": "Apache-2.0",  # on Windows
}
