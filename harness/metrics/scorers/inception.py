"""Inception-v3 up to its pooled features, as the Frechet inception distance is defined on.

Written from the published layers (Szegedy et al. 2015, arXiv 1512.00567) for the weights that
Heusel et al. 2017 used, converted from TensorFlow's graph of 2015-12-05. Against torchvision's
Inception-v3 that graph averages without counting padding, takes the maximum in the last block's
pooling branch, and has 1,008 classes.

Shape legend: B batch, H and W rows and columns, D = 2,048 features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from core.foundation.catalogue import INCEPTION
from core.foundation.layout import LAYOUTS
from core.foundation.sources import Source
from harness.metrics.pictures import read_centre_square
from harness.metrics.scorers.loading import BATCH_SIZE, fill, float64, released_file

FILE_NAME, SHA256 = INCEPTION.name, INCEPTION.sha256
SIZE = 299
NUM_FEATURES = 2048
_NUM_CLASSES = 1008


@dataclass(frozen=True)
class Conv:
    """A convolution without bias, batch norm and ReLU; it keeps the size unless it has a stride
    or `pads` is false."""

    name: str
    width: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    pads: bool = True


@dataclass(frozen=True)
class Pool:
    """A 3 x 3 pooling; an average leaves the padding out of its count."""

    is_maximum: bool
    stride: int = 1


Step = Conv | Pool | tuple[Conv, ...]  # a tuple: side by side, their outputs joined
Path_ = tuple[Step, ...]

_AVERAGE, _MAXIMUM, _HALVING = Pool(False), Pool(True), Pool(True, stride=2)


def _block_a(pool_width: int) -> tuple[Path_, ...]:
    return (
        (Conv("branch1x1", 64),),
        (Conv("branch5x5_1", 48), Conv("branch5x5_2", 64, (5, 5))),
        (
            Conv("branch3x3dbl_1", 64),
            Conv("branch3x3dbl_2", 96, (3, 3)),
            Conv("branch3x3dbl_3", 96, (3, 3)),
        ),
        (_AVERAGE, Conv("branch_pool", pool_width)),
    )


def _block_c(width: int) -> tuple[Path_, ...]:
    return (
        (Conv("branch1x1", 192),),
        (
            Conv("branch7x7_1", width),
            Conv("branch7x7_2", width, (1, 7)),
            Conv("branch7x7_3", 192, (7, 1)),
        ),
        (
            Conv("branch7x7dbl_1", width),
            Conv("branch7x7dbl_2", width, (7, 1)),
            Conv("branch7x7dbl_3", width, (1, 7)),
            Conv("branch7x7dbl_4", width, (7, 1)),
            Conv("branch7x7dbl_5", 192, (1, 7)),
        ),
        (_AVERAGE, Conv("branch_pool", 192)),
    )


def _block_e(pool: Pool) -> tuple[Path_, ...]:
    return (
        (Conv("branch1x1", 320),),
        (
            Conv("branch3x3_1", 384),
            (Conv("branch3x3_2a", 384, (1, 3)), Conv("branch3x3_2b", 384, (3, 1))),
        ),
        (
            Conv("branch3x3dbl_1", 448),
            Conv("branch3x3dbl_2", 384, (3, 3)),
            (Conv("branch3x3dbl_3a", 384, (1, 3)), Conv("branch3x3dbl_3b", 384, (3, 1))),
        ),
        (pool, Conv("branch_pool", 192)),
    )


_BLOCKS: dict[str, tuple[Path_, ...]] = {
    "Mixed_5b": _block_a(32),
    "Mixed_5c": _block_a(64),
    "Mixed_5d": _block_a(64),
    "Mixed_6a": (
        (Conv("branch3x3", 384, (3, 3), stride=2, pads=False),),
        (
            Conv("branch3x3dbl_1", 64),
            Conv("branch3x3dbl_2", 96, (3, 3)),
            Conv("branch3x3dbl_3", 96, (3, 3), stride=2, pads=False),
        ),
        (_HALVING,),
    ),
    "Mixed_6b": _block_c(128),
    "Mixed_6c": _block_c(160),
    "Mixed_6d": _block_c(160),
    "Mixed_6e": _block_c(192),
    "Mixed_7a": (
        (Conv("branch3x3_1", 192), Conv("branch3x3_2", 320, (3, 3), stride=2, pads=False)),
        (
            Conv("branch7x7x3_1", 192),
            Conv("branch7x7x3_2", 192, (1, 7)),
            Conv("branch7x7x3_3", 192, (7, 1)),
            Conv("branch7x7x3_4", 192, (3, 3), stride=2, pads=False),
        ),
        (_HALVING,),
    ),
    "Mixed_7b": _block_e(_AVERAGE),
    "Mixed_7c": _block_e(_MAXIMUM),
}

_STEM: Path_ = (
    Conv("Conv2d_1a_3x3", 32, (3, 3), stride=2, pads=False),
    Conv("Conv2d_2a_3x3", 32, (3, 3), pads=False),
    Conv("Conv2d_2b_3x3", 64, (3, 3)),
    _HALVING,
    Conv("Conv2d_3b_1x1", 80),
    Conv("Conv2d_4a_3x3", 192, (3, 3), pads=False),
    _HALVING,
)


class _ConvNormRelu(nn.Module):
    def __init__(self, width_in: int, layer: Conv) -> None:
        super().__init__()
        rows, columns = layer.kernel
        padding = (rows // 2, columns // 2) if layer.pads else (0, 0)
        self.conv = nn.Conv2d(
            width_in, layer.width, layer.kernel, layer.stride, padding, bias=False
        )
        self.bn = nn.BatchNorm2d(layer.width, eps=1e-3)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x_BCHW)))


class _Paths(nn.Module):
    """Paths side by side from one input, their outputs joined along the channels."""

    def __init__(self, width_in: int, paths: Sequence[Path_]) -> None:
        super().__init__()
        self._paths = paths
        self.width = 0
        for path in paths:
            width = width_in
            for step in path:
                convs = _convs(step)
                for layer in convs:
                    self.add_module(layer.name, _ConvNormRelu(width, layer))
                width = sum(layer.width for layer in convs) or width
            self.width += width

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return torch.cat([self._follow(path, x_BCHW) for path in self._paths], dim=1)

    def _follow(self, path: Path_, x_BCHW: Tensor) -> Tensor:
        for step in path:
            if isinstance(step, Pool):
                x_BCHW = _pooled(x_BCHW, step)
            else:
                parts = [self.get_submodule(layer.name)(x_BCHW) for layer in _convs(step)]
                x_BCHW = torch.cat(parts, dim=1)
        return x_BCHW


class InceptionV3(_Paths):
    """[B, 2048] pooled features of [B, 3, 299, 299] pixels in [0, 255].

    The names of its parameters are those of the converted file; the classifier is held so that
    the file fits whole, and never used.
    """

    def __init__(self) -> None:
        super().__init__(3, [_STEM])
        width = self.width
        for name, paths in _BLOCKS.items():
            block = _Paths(width, paths)
            self.add_module(name, block)
            width = block.width
        self.fc = nn.Linear(width, _NUM_CLASSES)

    def forward(self, pixels_B3HW: Tensor) -> Tensor:
        # (x - 128) / 128 as in TensorFlow's graph and clean-fid; 2x/255 - 1 differs by 0.4 %.
        x_BCHW = super().forward((pixels_B3HW - 128.0) / 128.0)
        for name in _BLOCKS:
            x_BCHW = self.get_submodule(name)(x_BCHW)
        return x_BCHW.mean(dim=(2, 3))


class InceptionScorer:
    """Inception-v3 with the released FID weights, known by their hash."""

    def __init__(self, source: Source, *, device: torch.device) -> None:
        state = released_file(source, sha256={FILE_NAME: SHA256}, part="Inception weights of FID")
        model = InceptionV3()
        fill(model, state, part="Inception-v3")
        self._model = model.requires_grad_(False).eval().to(device, torch.float32)
        self._device = device
        self.name = source.name
        self.fingerprint = source.fingerprint(LAYOUTS["inception"])

    @torch.inference_mode()
    def images(self, paths: Sequence[Path]) -> NDArray[np.float64]:
        """[I, 2048] pooled features."""
        features = []
        for start in range(0, len(paths), BATCH_SIZE):
            pixels = np.stack([clean_resized(path) for path in paths[start : start + BATCH_SIZE]])
            x_B3HW = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self._device)
            features.append(self._model(x_B3HW))
        return float64(features)


def clean_resized(path: Path) -> NDArray[np.float32]:
    """float32 [299, 299, 3] in [0, 255]: the centre square, resized as clean-fid does.

    Parmar et al. 2022 (arXiv 2104.11222): each channel in float32 by Pillow's antialiased
    bicubic filter, cut to [0, 255], never rounded back to 8 bits.
    """
    pixels_HWC = read_centre_square(path).astype(np.float32)
    channels = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(pixels_HWC[:, :, c])).resize(
                (SIZE, SIZE), Image.Resampling.BICUBIC
            )
        )
        for c in range(3)
    ]
    return np.stack(channels, axis=-1).clip(0.0, 255.0)


def _convs(step: Step) -> tuple[Conv, ...]:
    if isinstance(step, Pool):
        return ()
    return (step,) if isinstance(step, Conv) else step


def _pooled(x_BCHW: Tensor, pool: Pool) -> Tensor:
    padding = 1 if pool.stride == 1 else 0
    if pool.is_maximum:
        return F.max_pool2d(x_BCHW, 3, pool.stride, padding)
    return F.avg_pool2d(x_BCHW, 3, pool.stride, padding, count_include_pad=False)
