"""The recogniser sees a face alike in the whole picture and in what is cut out around it."""

from __future__ import annotations

import numpy as np
import torch

from artscraper_runner.faces.geometry import chip
from artscraper_runner.faces.recogniser import aligned_face, faces_in


def test_what_is_cut_out_is_enough(portrait):
    wide = np.pad(portrait, ((300, 300), (300, 300), (0, 0)), mode="reflect")
    large = np.repeat(np.repeat(wide, 4, 0), 4, 1)
    (face, *_) = faces_in(portrait)
    moved = face.alignment.seen_at(4, 4, left=-300, top=-300)
    whole = torch.from_numpy(large).permute(2, 0, 1)[None].float() / 255
    assert (aligned_face(large, moved) - chip(whole, moved)).abs().max() < 0.1
    assert (aligned_face(large, moved) - chip(whole, moved)).abs().mean() < 0.01


def test_faces_are_looked_for_once(portrait):
    assert faces_in(portrait) is faces_in(portrait)
