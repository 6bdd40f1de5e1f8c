"""Noise shaped like a change."""

import numpy as np

from artscraper_runner.attacks.shaped_noise import shaped_noise


def _change() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    original = rng.uniform(0.3, 0.7, (3, 48, 64)).astype(np.float32)
    texture = rng.normal(0, 0.02, (3, 48, 64))
    texture[..., :32] = 0
    return original, (original + texture).astype(np.float32)


def test_noise_has_the_error_of_the_change() -> None:
    original, changed = _change()
    noise = shaped_noise(original, changed, seed=1)
    wanted = np.square(changed - original).mean()
    assert np.isclose(np.square(noise - original).mean(), wanted, rtol=0.01)


def test_noise_is_local_to_the_change() -> None:
    original, changed = _change()
    energy = np.square(shaped_noise(original, changed, seed=1) - original).mean((0, 1))
    assert energy[:20].mean() < 0.05 * energy[44:].mean()


def test_phases_are_random_but_repeatable() -> None:
    original, changed = _change()
    first, second, other = (
        shaped_noise(original, changed, seed=seed) - original for seed in (1, 1, 2)
    )
    assert np.array_equal(first, second)
    change = changed - original
    for noise in (first, other):
        cosine = (noise * change).sum() / np.sqrt(np.square(noise).sum() * np.square(change).sum())
        assert abs(cosine) < 0.1


def test_noise_spares_hidden_pixels() -> None:
    original, changed = _change()
    visible = np.ones((48, 64), np.float32)
    visible[:, 50:] = 0
    noise = shaped_noise(original, changed, seed=1, visible=visible)
    assert np.array_equal(noise[..., 50:], original[..., 50:])


def test_zero_change_gives_no_noise() -> None:
    original, _ = _change()
    assert np.array_equal(shaped_noise(original, original, seed=1), original)
