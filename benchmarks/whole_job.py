"""Time a whole default job in a process of its own, and read the memory that it needed at most.

Linux only: the peak is the kernel's VmHWM of that process, with everything in it.
"""

from __future__ import annotations

import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from PIL import Image

from artscraper_runner.protection_pipeline import WorkflowConfig, protect_picture


@dataclass(frozen=True)
class JobFigures:
    """The cost of a job: wall and processor time in s, peak memory of its process in MiB."""

    seconds: float
    processor_seconds: float
    peak_mib: float


def measured_job(picture: Image.Image, suffix: str) -> JobFigures:
    """Run every default stage, analysis, metrics and saving on `picture` as `artwork.<suffix>`.

    After a small picture, so that what a worker loads once is not timed, and with idle threads
    that sleep, as in the gateway's workers.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # for the process below
    with tempfile.TemporaryDirectory() as folder:
        path, small = (Path(folder) / f"{name}.{suffix}" for name in ("artwork", "small"))
        picture.save(path, quality=92)
        picture.resize((64, 64)).save(small)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            process.submit(_job, small).result()
            return process.submit(_job, path).result()


def _job(path: Path) -> JobFigures:
    begun, used = time.perf_counter(), time.process_time()
    protect_picture(path, path.parent / f"out-{path.stem}", config=WorkflowConfig())
    taken = (time.perf_counter() - begun, time.process_time() - used)
    return JobFigures(*taken, _peak_mib())


def _peak_mib() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
