"""Write the bundled encoder's files, and the recogniser's graphs: ``python -m training.export``.

From a run's averaged weights, or anew from the weights that ship (``--graphs-only``): the weights
as float16 safetensors, and the two graphs that refer to them. Needs the package onnx.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import onnx
import torch
from safetensors.torch import save_file

from artscraper_runner.faces import network
from artscraper_runner.models import bundled, graph
from training import checkpoint, encoder_graph, face_graph
from training.distil import RUNS
from training.graph_builder import StoredWeight, identity_graph
from training.student import StudentNetwork, shape_of

MAX_BYTES = 6_000_000  # what the package is willing to carry
_HEADER_LENGTH_BYTES = 8
_TYPES = {"F16": "float16", "F32": "float32"}


def export(average: Mapping[str, torch.Tensor], folder: Path, *, steps: int) -> int:
    """Write weights and graphs into a folder; return the bytes of the weights.

    Raises:
        RuntimeError: the weights do not fit the network that they were trained as.
        ValueError: a weight is not finite in float16, or the file would be too large.
    """
    halves = {key: value.half().contiguous() for key, value in average.items()}
    StudentNetwork(shape_of(halves)).load_state_dict(halves)
    broken = [key for key, value in halves.items() if not value.isfinite().all()]
    size = sum(value.nbytes for value in halves.values())
    if broken or size > MAX_BYTES:
        raise ValueError(f"expected finite weights below {MAX_BYTES} bytes, got {size}, {broken}")
    path = folder / bundled.WEIGHTS
    partial = path.with_suffix(".part")
    save_file(halves, partial, metadata={"format": "pt", "optimiser_steps": str(steps)})
    partial.replace(path)
    write_graphs(folder)
    return path.stat().st_size


def write_graphs(folder: Path) -> None:
    """Write the encoder's graphs for the weights that lie in a folder; widths are theirs."""
    weights = stored_weights(folder / bundled.WEIGHTS)
    _write(encoder_graph.latents_graph(weights), folder / bundled.LATENTS_GRAPH)
    _write(encoder_graph.gradient_graph(weights), folder / bundled.GRADIENT_GRAPH)


def write_face_graphs(folder: Path) -> None:
    """Write the recogniser's graphs; its weights are the user's."""
    _write(face_graph.embeddings_graph(), folder / network.EMBEDDINGS_GRAPH)
    _write(face_graph.distance_graph(), folder / network.DISTANCES_GRAPH)


def stored_weights(path: Path) -> dict[str, StoredWeight]:
    """Return where the tensors of a safetensors file lie in it."""
    content = path.read_bytes()
    length = int.from_bytes(content[:_HEADER_LENGTH_BYTES], "little")
    start = _HEADER_LENGTH_BYTES + length
    header = json.loads(content[_HEADER_LENGTH_BYTES:start])
    header.pop("__metadata__", None)
    return {
        name: StoredWeight(
            tuple(row["shape"]),
            _TYPES[row["dtype"]],
            path.name,
            start + row["data_offsets"][0],
            row["data_offsets"][1] - row["data_offsets"][0],
        )
        for name, row in header.items()
    }


def _write(model: onnx.ModelProto, path: Path) -> None:
    partial = path.with_suffix(".part")
    partial.write_bytes(model.SerializeToString(deterministic=True))
    partial.replace(path)


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and write the files."""
    parser = argparse.ArgumentParser(prog="python -m training.export", description=__doc__)
    parser.add_argument("--run", type=Path, default=RUNS / "bundled", help="checkpoint folder")
    parser.add_argument("--to", type=Path, default=bundled.FOLDER, help="folder to write to")
    parser.add_argument(
        "--graphs-only", action="store_true", help="write the graphs for the weights that ship"
    )
    options = parser.parse_args(arguments)
    if options.graphs_only:
        write_graphs(options.to)
        write_face_graphs(network.FOLDER)
        _write(identity_graph(), graph.IDENTITY_GRAPH)
        return
    state = checkpoint.load(options.run)
    if state is None:
        parser.error(f"expected a checkpoint in {options.run}: run `python -m training.distil`")
    size = export(state["average"], options.to, steps=state["steps"])
    print(f"{options.to / bundled.WEIGHTS}: {size} bytes, after {state['steps']} steps")


if __name__ == "__main__":
    main()
