"""Detection of faces and its bounds."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from artscraper_runner.faces import detection
from artscraper_runner.faces.detection import find_faces
from tests.faces.conftest import REPOSITORY, opened


@pytest.mark.parametrize(
    "name", ["paintings/mona_lisa.jpg", "paintings/delaunay_portrait.jpg", "photos/kodak_04.png"]
)
def test_portraits_have_one_face(name, images):
    assert len(find_faces(opened(images / name))) == 1


@pytest.mark.parametrize(
    "name",
    [
        "paintings/munch_the_scream.jpg",
        "paintings/vangogh_01.png",
        "paintings/vangogh_starry_night.jpg",
        "paintings/kandinsky_composition_vii.jpg",
        "photos/kodak_05.png",
        "photos/kodak_11.png",
    ],
)
def test_false_candidates_are_rejected(name, images):
    assert find_faces(opened(images / name)) == ()


def test_emblem_of_sample_portrait_is_not_a_face():
    (face,) = find_faces(opened(REPOSITORY / "input" / "astronaut.jpg"))
    left, top, width, _ = face.box
    assert 150 < left < 210 and 50 < top < 110 and 70 < width < 120


def test_face_at_both_scales_is_found_once(portrait):
    large = np.array(Image.fromarray(portrait).resize((1200, 1200)))
    for pixels in (portrait, large):
        assert len(find_faces(pixels)) == 1


def test_doubtful_candidate_needs_confirmation(portrait, monkeypatch):
    monkeypatch.setattr(detection, "_CERTAIN", 9.0)
    assert len(find_faces(portrait)) == 1
    monkeypatch.setattr(detection, "_is_confirmed", lambda pixels, box: False)
    assert find_faces(portrait) == ()


def test_every_face_of_a_crowd_is_found(portrait):
    small = np.array(Image.fromarray(portrait).resize((130, 130)))
    crowd = np.tile(small, (4, 5, 1))
    assert len(find_faces(crowd)) == 20


def test_confirmations_are_bounded(portrait, monkeypatch):
    confirmations = []
    monkeypatch.setattr(detection, "_CERTAIN", 9.0)
    monkeypatch.setattr(detection, "_MAX_CONFIRMED", 2)
    monkeypatch.setattr(
        detection, "_is_confirmed", lambda pixels, box: bool(confirmations.append(box))
    )
    find_faces(np.tile(portrait, (2, 2, 1)))
    assert len(confirmations) == 2


def test_candidate_like_a_rejected_one_is_not_confirmed_again(portrait, monkeypatch):
    rejected, alike, other = (100, 100, 60, 60), (104, 102, 58, 58), (300, 100, 60, 60)
    candidates = [(box, 0.1 - index / 10) for index, box in enumerate((rejected, alike, other))]
    confirmed = []
    monkeypatch.setattr(detection, "_candidates", lambda pixels: iter(candidates))
    monkeypatch.setattr(detection, "_is_confirmed", lambda pixels, box: bool(confirmed.append(box)))
    assert find_faces(portrait) == ()
    assert confirmed == [rejected, other]


def test_faces_are_listed_largest_first(portrait):
    small = np.array(Image.fromarray(portrait).resize((160, 160)))
    both = np.zeros((260, 420, 3), np.uint8)
    both[:, 160:], both[:160, :160] = portrait, small
    faces = find_faces(both)
    assert len(faces) == 2
    assert faces[0].box[0] > 160 > faces[1].box[0]


def test_small_faces_are_ignored(portrait, monkeypatch):
    monkeypatch.setattr(detection, "MIN_FACE_SIDE", 91)
    assert find_faces(portrait) == ()


def test_only_the_largest_faces_are_kept(portrait, monkeypatch):
    monkeypatch.setattr(detection, "MAX_FACES", 1)
    assert len(find_faces(np.hstack([portrait, portrait]))) == 1


@pytest.mark.parametrize("size", [(4000, 6000), (16_000, 900), (40, 16_000), (1, 1)])
def test_search_is_bounded(size):
    scale = detection._search_scale(*size)
    assert scale * scale * size[0] * size[1] <= detection._SEARCHED_PIXELS * 1.001
    assert scale * max(size) <= detection._SEARCHED_SIDE


@pytest.mark.parametrize("size", [(1, 1), (20, 4000), (79, 300)])
def test_extreme_sizes_have_no_face(size):
    assert find_faces(np.full((*size, 3), 120, np.uint8)) == ()


def test_detectors_run_in_one_thread_at_a_time(monkeypatch):
    inside = threading.Lock()

    def run(*_):
        assert inside.acquire(blocking=False), "two threads in dlib's detector"
        time.sleep(0.05)
        inside.release()
        return [], [], []

    monkeypatch.setattr(detection, "_detector", lambda: SimpleNamespace(run=run))
    pictures = [np.zeros((100, 100, 3), np.uint8)] * 4
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(find_faces, pictures)) == [()] * 4
