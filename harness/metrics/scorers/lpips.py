"""LPIPS 0.1 with AlexNet: the learned perceptual distance of two pictures.

Zhang et al. 2018 (arXiv 1801.03924), written from the paper and the released weights' shapes.

Shape legend: B batch, C channels, H and W rows and columns.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from core.foundation.catalogue import ALEXNET, LPIPS_HEADS
from core.foundation.layout import LAYOUTS, LPIPS_HEADS_NAMES
from core.foundation.sources import Source
from harness.metrics.pictures import square_batches
from harness.metrics.scorers.loading import fill, released_file

# torchvision's ImageNet weights carry the start of their SHA-256 in the name; the linear heads
# go by two names.
BACKBONE_SHA256 = {ALEXNET.name: ALEXNET.sha256}
HEADS_SHA256 = dict.fromkeys(LPIPS_HEADS_NAMES, LPIPS_HEADS.sha256)
SIZE = 256
"""Side, in pixels, that pictures are compared at."""

_WIDTHS = (64, 192, 384, 256, 256)
_EPSILON = 1e-10  # the released code's; it only matters where all channels are 0
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class AlexNetTrunk(nn.Module):
    """The five convolutions of torchvision's AlexNet (Krizhevsky 2014, arXiv 1404.5997)."""

    def __init__(self) -> None:
        super().__init__()
        layers: dict[str, nn.Module] = {
            "0": nn.Conv2d(3, 64, 11, stride=4, padding=2),
            "3": nn.Conv2d(64, 192, 5, padding=2),
            "6": nn.Conv2d(192, 384, 3, padding=1),
            "8": nn.Conv2d(384, 256, 3, padding=1),
            "10": nn.Conv2d(256, 256, 3, padding=1),
        }
        self.features = nn.ModuleDict(layers)  # named by their place in torchvision's sequence

    def forward(self, x_BCHW: Tensor) -> list[Tensor]:
        """The activations after each ReLU."""
        found = []
        for name, layer in self.features.items():
            if name in {"3", "6"}:
                x_BCHW = F.max_pool2d(x_BCHW, 3, 2)
            x_BCHW = F.relu(layer(x_BCHW))
            found.append(x_BCHW)
        return found


class Lpips(nn.Module):
    """Distance of two batches of pixels in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = AlexNetTrunk()
        self.heads = nn.ModuleList(nn.Conv2d(width, 1, 1, bias=False) for width in _WIDTHS)
        # On pixels in [-1, 1] LPIPS writes the same as shift -.030 ..., scale .458 ...
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(_STD)[:, None, None], persistent=False)

    def activations(self, pixels_B3HW: Tensor) -> list[Tensor]:
        """What the heads compare: each layer's activations, of unit length over the channels."""
        layers = self.trunk((pixels_B3HW - self.mean) / self.std)
        return [x / (x.square().sum(dim=1, keepdim=True).sqrt() + _EPSILON) for x in layers]

    def between(self, first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
        """[B] distances of two sets of activations."""
        per_layer = [
            head((a - b).square()).mean(dim=(1, 2, 3))
            for head, a, b in zip(self.heads, first, second, strict=True)
        ]
        return torch.stack(per_layer).sum(dim=0)


class LpipsScorer:
    """LPIPS with the released weights, known by their hash."""

    def __init__(self, source: Source, *, device: torch.device) -> None:
        backbone = released_file(source, sha256=BACKBONE_SHA256, part="AlexNet weights of LPIPS")
        heads = released_file(source, sha256=HEADS_SHA256, part="linear heads of LPIPS")
        model = Lpips()
        trunk = {key: value for key, value in backbone.items() if key.startswith("features.")}
        fill(model.trunk, trunk, part="AlexNet")
        renamed = {
            key.removeprefix("lin").replace(".model.1", ""): value for key, value in heads.items()
        }
        fill(model.heads, renamed, part="heads of LPIPS")
        self._model = model.requires_grad_(False).eval().to(device, torch.float32)
        self._device = device
        self.name = source.name
        self.fingerprint = source.fingerprint(LAYOUTS["lpips"])

    @torch.inference_mode()
    def pairwise(self, paths: Sequence[Path]) -> np.ndarray:
        """float64 [B, B] distances among a few pictures, 0 on the diagonal."""
        (pixels,) = square_batches(paths, size=SIZE, batch_size=len(paths))
        x_B3HW = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255.0
        layers = self._model.activations(x_B3HW.to(self._device))
        rows = [
            self._model.between([x[i : i + 1].expand_as(x) for x in layers], layers)
            for i in range(len(paths))
        ]
        return torch.stack(rows).double().cpu().numpy()
