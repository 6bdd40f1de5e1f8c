"""Print what the default job costs, beside another revision: time, memory, start of a worker.

Run `python benchmarks/engine.py --images DIR --beside CHECKOUT` from the repository root, on a
machine with nothing else to do. CHECKOUT is a working tree of another revision, which is run with
this interpreter. Linux only: memory is read from /proc. Processor time is what other work on the
machine changes least.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import psutil
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
READY_WITHIN_S = 120.0
_REPEATS = 3
# As the command and the workers do, in revisions that have it.
_NATIVE_DEFAULTS = """
import artscraper_runner
getattr(artscraper_runner, "set_native_thread_defaults", lambda: None)()
"""
# Each prints one JSON object; `stages` moved between revisions, the public names did not.
_STAGES = """
import importlib, json, statistics, sys, time
from dataclasses import replace
from pathlib import Path
import numpy as np
from PIL import Image
from artscraper_runner import Controls, ProtectionOptions
for home in ("protections", "stages"):
    try:
        package = importlib.import_module(f"artscraper_runner.{home}")
        stage_input = importlib.import_module(f"artscraper_runner.{home}.stage").StageInput
        break
    except ModuleNotFoundError:
        continue
pixels = np.array(Image.open(sys.argv[1]).convert("RGB").resize((512, 512)))
def run(names):
    given, layer = stage_input(pixels, pixels, None, ProtectionOptions(), Controls()), pixels
    for index, name in enumerate(names):
        given = replace(given, pixels=layer)  # with the cache of one run, as in a job
        before = {"after_attack": True} if hasattr(given, "after_attack") else {}
        given = replace(given, **(before or {"stages_before": names[:index]})) if index else given
        layer = package.load_stage(name).apply(given).pixels
names = tuple(sys.argv[2].split(","))
run(names)
walls, used = [], []
for _ in range(int(sys.argv[3])):
    begun, before = time.perf_counter(), time.process_time()
    run(names)
    walls.append(time.perf_counter() - begun)
    used.append(time.process_time() - before)
print(json.dumps({"seconds": statistics.median(walls), "of_processors": statistics.median(used)}))
"""
_JOB = """
import json, sys, time
from pathlib import Path
from artscraper_runner import protect_picture
for path in sys.argv[1:]:
    begun, before = time.perf_counter(), time.process_time()
    protect_picture(Path(path), Path(path).parent / f"out-{Path(path).stem}")
taken = {"seconds": time.perf_counter() - begun, "of_processors": time.process_time() - before}
status = Path("/proc/self/status").read_text()
taken["peak_mib"] = int(status.partition("VmHWM:")[2].split()[0]) / 1024
print(json.dumps(taken))
"""


@dataclass(frozen=True)
class Revision:
    """A working tree, and the environment in which its packages are found first."""

    name: str
    tree: Path

    @property
    def environment(self) -> dict[str, str]:
        """Return the caller's environment, with this tree first on Python's path."""
        return {**os.environ, "PYTHONPATH": str(self.tree), "OMP_WAIT_POLICY": "PASSIVE"}

    def figures(self, code: str, *arguments: str) -> dict[str, float]:
        """Run code that prints one JSON object."""
        done = subprocess.run(
            [sys.executable, "-c", _NATIVE_DEFAULTS + code, *arguments],
            env=self.environment,
            cwd=self.tree,
            capture_output=True,
            text=True,
            check=True,
        )
        figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return figures

    def command(self, picture: Path, folder: Path) -> dict[str, float]:
        """Protect a picture by the command line: start to end, in a new process."""
        arguments = ["-m", "artscraper_runner", "protect", str(picture), "--out", str(folder)]
        begun = time.perf_counter()
        process = psutil.Popen(
            [sys.executable, *arguments],
            env=self.environment,
            cwd=self.tree,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{self.name}: `protect` failed with status {status}")
        return {
            "seconds": time.perf_counter() - begun,
            "of_processors": usage.ru_utime + usage.ru_stime,
            "peak_mib": usage.ru_maxrss / 1024,
        }

    def service(self) -> dict[str, float]:
        """Start the service with its worker; seconds to ready, memory of both once idle."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            process = psutil.Popen(
                [sys.executable, "-m", "artscraper_gateway", "--port", str(port)],
                env={**self.environment, "ARTSCRAPER_GATEWAY_BASE_DIR": folder},
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                _wait_until_ready(port)
                taken = time.perf_counter() - begun
                time.sleep(3)
                family = [process, *process.children(recursive=True)]
                memory = sum(each.memory_full_info().pss for each in family)
            finally:
                process.terminate()
                process.wait(30)
        return {"seconds": taken, "of_processors": float("nan"), "peak_mib": memory / 1024**2}


def _wait_until_ready(port: int) -> None:
    end = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                return
        except OSError:
            time.sleep(0.05)
    raise SystemExit("the service was not ready in time")


def print_rows(name: str, target: str, columns: list[dict[str, float]]) -> None:
    """Print one line of the table; the last revision is this one."""
    cells = []
    for figures in columns:
        for key, digits in (("seconds", 2), ("of_processors", 2), ("peak_mib", 0)):
            value = figures.get(key, float("nan"))
            cells.append("" if value != value else f"{value:.{digits}f}")
    print(f"| {name} | " + " | ".join(cells) + f" | {target} |", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=Path, default=ROOT.parent / "shared" / "images")
    parser.add_argument("--beside", type=Path, help="working tree of another revision")
    parser.add_argument("--repeats", type=int, default=_REPEATS)
    options = parser.parse_args()
    revisions = [Revision("beside", options.beside.resolve())] if options.beside else []
    revisions.append(Revision("this", ROOT))
    portrait = ROOT / "input" / "astronaut.jpg"
    faces = options.images / "paintings" / "mona_lisa.jpg"
    painting = options.images / "paintings" / "vangogh_03.png"
    large = Image.open(options.images / "paintings" / "delaunay_portrait.jpg").convert("RGB")
    print(f"{os.cpu_count()} processors, load average {os.getloadavg()[0]:.1f}\n")
    heads = [f"{each.name}: {what}" for each in revisions for what in ("s", "CPU s", "peak MiB")]
    print("| what | " + " | ".join(heads) + " | at most |")
    print("|---|" + "---|" * (len(heads) + 1))
    with tempfile.TemporaryDirectory() as folder:
        picture, small = Path(folder) / "large.jpg", Path(folder) / "small.jpg"
        large.resize((4000, 6000), Image.Resampling.LANCZOS).save(picture, quality=92)
        large.resize((64, 64)).save(small)
        out = Path(folder) / "out"
        repeats = str(options.repeats)
        attacks = "photoguard,mist,nightshade"
        rows = {
            "protect, 512 px sample with one face": (
                "5 s",
                lambda each: each.command(portrait, out / each.name),
            ),
            "three attacks, 512x512, warm": (
                "1.2 s with bfloat16, 2.0 s without",
                lambda each: each.figures(_STAGES, str(painting), attacks, repeats),
            ),
            "a face, warm": (
                "1.8 s",
                lambda each: each.figures(_STAGES, str(faces), "fawkes", repeats),
            ),
            "default job, 4000x6000 JPEG with a face": (
                "10 s, 700 MiB",
                lambda each: each.figures(_JOB, str(small), str(picture)),
            ),
            "service with a worker, to ready; idle memory": (
                "half of the time, 160 MiB",
                lambda each: each.service(),
            ),
        }
        for name, (target, measure) in rows.items():
            print_rows(name, target, [measure(each) for each in revisions])


if __name__ == "__main__":
    main()
