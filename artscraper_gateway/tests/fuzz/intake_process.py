"""Open and save mutated pictures as gateway and worker do: `... FORMAT EXAMPLES FOLDER`.

This process ends by a signal if a picture takes more than `CPU_S` seconds of processor time, and
by an error if memory exceeds `MEMORY_BYTES` or anything but a refusal is raised. FOLDER/picture is
then the picture that caused it.
"""

from __future__ import annotations

import collections
import json
import re
import resource
import signal
import sys
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from artscraper_gateway.tests.fuzz.metadata_files import METADATA_KINDS, metadata_files
from artscraper_gateway.tests.fuzz.mutations import STEP, mutated
from artscraper_gateway.tests.fuzz.sample_pictures import sample_pictures
from artscraper_runner.analysis.inventory import take_inventory
from artscraper_runner.analysis.processors import DecodedPicture, metadata, stegano
from artscraper_runner.errors import PictureError
from artscraper_runner.imaging.decode import Picture, inspect_picture, open_picture
from artscraper_runner.imaging.encode import layer_format, save_layer
from artscraper_runner.imaging.formats.container import FORMATS
from artscraper_runner.imaging.thumbnails import write_preview
from artscraper_runner.options import AnalysisOptions, PictureLimits

CPU_S = 5.0
WALL_S = 60.0  # of waiting for something that never comes; other processes may take the cores
MEMORY_BYTES = 1024**3
_ADDRESSES_BYTES = 4 * 1024**3  # so that a bomb ends this process and not the machine
_WORKED_ON_PIXELS = 1_000_000  # a larger one is decoded, which is the intake; the rest takes long
LIMITS = PictureLimits()
# Messages of Python's own, which are of no use to a caller.
PYTHON_TEXT = re.compile(
    r"object has no attribute|not subscriptable|unpack requires|invalid literal|NoneType"
    r"|'\w+' object|list index|must be a \w+ character|bad operand|cannot identify|<_io\."
    r"|positional argument"
)


def take_in(path: Path) -> str:
    """Return "taken", or the name of the refusal.

    Raises:
        Exception: anything but a refusal, which is a failure of the test.
    """
    try:
        header = inspect_picture(path, LIMITS)
        assert header.format in FORMATS
        assert 1 <= header.width * header.height <= LIMITS.max_pixels
        assert 1 <= header.frames <= LIMITS.max_frames
        picture = open_picture(path, LIMITS)
    except PictureError as refusal:
        assert str(path) not in str(refusal), refusal
        assert not PYTHON_TEXT.search(str(refusal)), refusal
        return type(refusal).__name__
    assert picture.pixels.ndim == 3
    assert picture.pixels.dtype == "uint8"
    if picture.pixels.shape[0] * picture.pixels.shape[1] <= _WORKED_ON_PIXELS:
        _work_on(path, picture)
    return "taken"


def _work_on(path: Path, picture: Picture) -> None:
    shared, options = DecodedPicture.of(path, picture), AnalysisOptions()
    for processor in (metadata, stegano):
        json.dumps(processor.process(shared, options), allow_nan=False)
    how = layer_format(picture, path)
    json.dumps([note.to_json() for note in take_inventory(picture, path, how)], allow_nan=False)
    write_preview(path, path.with_name("preview.webp"), 16, LIMITS)
    layer = path.with_name(f"layer{how.suffix}")
    save_layer(picture.pixels, picture, layer, how)
    with_metadata = open_picture(layer, LIMITS)
    assert with_metadata.pixels.shape == picture.pixels.shape


def _inputs(kind: str) -> st.SearchStrategy[bytes]:
    if kind in METADATA_KINDS:
        return metadata_files(kind)
    return st.builds(
        mutated,
        st.sampled_from(sample_pictures()[kind]),
        st.lists(STEP, min_size=1, max_size=6),
        with_checksums=st.booleans(),
    )


def main(kind: str, examples: int, folder: Path) -> None:
    """Try `examples` mutated pictures of the format `kind`; print the counts of outcomes."""
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES_BYTES, _ADDRESSES_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    received: collections.Counter[str] = collections.Counter()
    path = folder / "picture"

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(content=_inputs(kind))
    def try_one(content: bytes) -> None:
        path.write_bytes(content)
        signal.setitimer(signal.ITIMER_PROF, CPU_S)  # unhandled: both signals end the process
        signal.setitimer(signal.ITIMER_REAL, WALL_S)
        received[take_in(path)] += 1
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        assert used < MEMORY_BYTES, f"{used} bytes of memory"

    try_one()
    print(json.dumps(received))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
