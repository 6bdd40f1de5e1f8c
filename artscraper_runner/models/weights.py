"""Files of weights: where they are looked up and how they are read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from artscraper_runner.errors import RunnerError


class UnusableModel(RunnerError):
    """A file of weights that cannot be read, or that belongs to another network.

    `reason` holds no path; `detail` is what a library said, which may hold one.
    """

    def __init__(self, path: Path, reason: str, *, detail: str = "") -> None:
        super().__init__(f"{path} is not usable: {reason}{f': {detail}' if detail else ''}")
        self.path, self.reason, self.detail = path, reason, detail

    @property
    def public(self) -> str:
        """Names the file without its folder, and leaves the detail out."""
        return f"{self.path.name} is not usable: {self.reason}"


def folders_of(name: str, models_dir: Path | None) -> tuple[Path, ...]:
    """Answer the folders in which the weights of ``name`` are looked up, in order."""
    return () if models_dir is None else (models_dir / name, models_dir)


def first_file(folders: Sequence[Path], names: Sequence[str]) -> Path | None:
    """Answer the first of the named files in the first folder that has any; None without one."""
    candidates = (folder / name for folder in folders for name in names)
    return next((path for path in candidates if path.is_file()), None)


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Answer the tensors of a .safetensors or a .pth file, by key; no code in it is run.

    Raises:
        UnusableModel: the file is damaged, or holds something else than tensors of finite numbers.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except ModuleNotFoundError:
        raise  # the registry names the package to install
    except Exception as exc:  # the two readers raise a dozen kinds between them
        raise UnusableModel(path, "expected tensors", detail=str(exc)) from exc
    if not isinstance(state, dict) or not all(map(torch.is_tensor, state.values())):
        raise UnusableModel(path, f"expected a dict of tensors, got {type(state).__name__}")
    check_finite(path, state.values())
    return state


def check_finite(path: Path, weights: Iterable[torch.Tensor]) -> None:
    """Refuse the weights read from `path` when some are no numbers, or infinite.

    Raises:
        UnusableModel: some are.
    """
    if not all(tensor.float().isfinite().all() for tensor in weights):
        raise UnusableModel(path, "expected finite weights, found others")
