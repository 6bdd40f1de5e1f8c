"""Licences of packages that the lock file brings to some machines only, or that say none.

Read from the metadata and the licence files of the wheels that `locks/default.txt` pins. The CUDA
libraries that torch uses on Linux are NVIDIA's: proprietary, free to use, and never ours to ship.
"""

from __future__ import annotations

_NVIDIA = "LicenseRef-NVIDIA-Proprietary"

KNOWN = {
    "colorama": "BSD-3-Clause",  # on Windows
    "cuda-bindings": "Apache-2.0",
    "cuda-pathfinder": "Apache-2.0",
    "cuda-toolkit": _NVIDIA,  # no files, no licence: it only names the libraries below
    "nvidia-cublas": _NVIDIA,
    "nvidia-cuda-cupti": _NVIDIA,
    "nvidia-cuda-nvrtc": _NVIDIA,
    "nvidia-cuda-runtime": _NVIDIA,
    "nvidia-cudnn-cu13": _NVIDIA,
    "nvidia-cufft": _NVIDIA,
    "nvidia-cufile": _NVIDIA,
    "nvidia-curand": _NVIDIA,
    "nvidia-cusolver": _NVIDIA,
    "nvidia-cusparse": _NVIDIA,
    "nvidia-cusparselt-cu13": _NVIDIA,
    "nvidia-nccl-cu13": _NVIDIA,
    "nvidia-nvjitlink": _NVIDIA,
    "nvidia-nvshmem-cu13": _NVIDIA,
    "nvidia-nvtx": "Apache-2.0",
    "triton": "MIT",
    "tzdata": "Apache-2.0",  # on Windows
}
