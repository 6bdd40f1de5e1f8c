"""Write a run's averaged weights as the bundled encoder: ``python -m training.export``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

from artscraper_runner.models.bundled import WEIGHTS, StudentNetwork, shape_of
from training import checkpoint
from training.distil import RUNS

MAX_BYTES = 6_000_000  # what the package is willing to carry


def export(average: Mapping[str, torch.Tensor], path: Path, *, steps: int) -> int:
    """Write weights as float16 safetensors, atomically, and answer the file's size in bytes.

    Raises:
        RuntimeError: the weights do not fit the network that would load them.
        ValueError: a weight is not finite in float16, or the file would be too large.
    """
    halves = {key: value.half().contiguous() for key, value in average.items()}
    StudentNetwork(shape_of(halves)).load_state_dict(halves)
    broken = [key for key, value in halves.items() if not value.isfinite().all()]
    size = sum(value.nbytes for value in halves.values())
    if broken or size > MAX_BYTES:
        raise ValueError(f"expected finite weights below {MAX_BYTES} bytes, got {size}, {broken}")
    partial = path.with_suffix(".part")
    save_file(halves, partial, metadata={"format": "pt", "optimiser_steps": str(steps)})
    partial.replace(path)
    return path.stat().st_size


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and write the file."""
    parser = argparse.ArgumentParser(prog="python -m training.export", description=__doc__)
    parser.add_argument("--run", type=Path, default=RUNS / "bundled", help="checkpoint folder")
    parser.add_argument("--to", type=Path, default=WEIGHTS, help="file to write")
    options = parser.parse_args(arguments)
    state = checkpoint.load(options.run)
    if state is None:
        parser.error(f"expected a checkpoint in {options.run}: run `python -m training.distil`")
    size = export(state["average"], options.to, steps=state["steps"])
    print(f"{options.to}: {size} bytes, after {state['steps']} steps")


if __name__ == "__main__":
    main()
