"""Import what jobs need before several threads run jobs."""

from __future__ import annotations

import threading
from importlib import import_module

from PIL import Image

from artscraper_runner.analysis.processors import load_processor, processor_names
from artscraper_runner.stages import load_stage, stage_names

_lock = threading.Lock()

_USED_BESIDE_STAGES = ("imaging.thumbnails", "pipeline.run")


def preload() -> None:
    """Import every stage and processor, and what threads import beside them; loads no torch.

    Two threads that import a package and a module in it at once may wait for each other; Python
    then fails one of them, and with it a valid job.
    """
    with _lock:
        Image.init()
        for name in stage_names():
            load_stage(name)
        for name in processor_names():
            load_processor(name)
        for name in _USED_BESIDE_STAGES:
            import_module(f"artscraper_runner.{name}")
