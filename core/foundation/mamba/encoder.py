"""A bidirectional Mamba encoder of log-mel spectrograms: SSAMBA's (arXiv 2405.11831), Audio
Mamba's (AuM, arXiv 2406.03344), or a plain stack.

Shape legend: B batch, M mel bands, T frames, F patches along frequency, P patches along time,
L = 1 + F * P tokens, W width.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from core.foundation.mamba.config import Layout, MambaEncoderConfig
from core.foundation.mamba.mixers import MIXERS

NORM_EPS = 1e-5
"""Of every norm, as in both released encoders."""


def layer_norm(config: MambaEncoderConfig) -> nn.Module:
    """The norm of the layout, over the width."""
    kind = nn.RMSNorm if config.layout is Layout.AUM else nn.LayerNorm
    return kind(config.width, eps=NORM_EPS)


class MambaBlock(nn.Module):
    """Mixer(Norm(x)): what a block adds to the stream."""

    def __init__(self, config: MambaEncoderConfig) -> None:
        super().__init__()
        self.norm = layer_norm(config)
        self.mixer = MIXERS[config.block](config)

    def forward(self, x_BLW: Tensor) -> Tensor:
        return self.mixer(self.norm(x_BLW))


class MambaAudioEncoder(nn.Module):
    """Normalised log-mel [B, M, T] to tokens [B, 1 + F * P, W]: cls, then frequency-major patches.

    cls comes first in what it returns, wherever the layout puts it inside.

    Raises:
        UsageError: the spectrogram is not a whole number of patches.
    """

    no_weight_decay: ClassVar[tuple[str, ...]] = ("cls_W", "position_LW")

    def __init__(self, config: MambaEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.grid = config.grid
        num_patches = self.grid[0] * self.grid[1]
        # SSAMBA and AuM both read the bands as rows, so a flat sequence runs f * P + t.
        self.patch_embed = nn.Conv2d(1, config.width, kernel_size=config.patch, stride=config.patch)
        self.cls_W = nn.Parameter(0.02 * torch.randn(config.width))
        self.position_LW = nn.Parameter(0.02 * torch.randn(1 + num_patches, config.width))
        self.blocks = nn.ModuleList(MambaBlock(config) for _ in range(config.depth))
        self.norm = layer_norm(config)
        # Where AuM's cls stands among the patches.
        self._cls_place = num_patches // 2 if config.layout is Layout.AUM else 0
        # Each block adds to the stream; without this its variance would grow with depth (GPT-2).
        for name, parameter in self.named_parameters():
            if name.endswith("out_proj.weight"):
                with torch.no_grad():
                    parameter.div_(math.sqrt(config.depth))

    def forward(self, log_mel_BMT: Tensor) -> Tensor:
        patches_BLW = self.patch_embed(log_mel_BMT[:, None]).flatten(2).transpose(1, 2)
        return self.encode_patches(patches_BLW)

    def encode_patches(self, patches_BLW: Tensor) -> Tensor:
        """Tokens [B, 1 + F * P, W] of embedded patches without their positions.

        Apart from `forward`, so that pretraining can put a mask token in a patch's place.
        """
        cls_B1W = self.cls_W.expand(len(patches_BLW), 1, -1)
        x_BLW = torch.cat([cls_B1W, patches_BLW], dim=1) + self.position_LW
        x_BLW = _move_token(x_BLW, source=0, target=self._cls_place)
        if self.config.layout is Layout.SSAMBA:
            x_BLW = self.norm(self.norm(self._in_pairs(x_BLW)))
        else:
            for block in self.blocks:
                x_BLW = x_BLW + block(x_BLW)
            x_BLW = self.norm(x_BLW)
        return _move_token(x_BLW, source=self._cls_place, target=0)

    def _in_pairs(self, x_BLW: Tensor) -> Tensor:
        """SSAMBA's stream: an even and an odd block read it side by side, the odd one backwards.

        Both hand on the stream they read, so it doubles; the checkpoints were trained so, and
        the norms take the factor out again.
        """
        for even, odd in zip(self.blocks[::2], self.blocks[1::2], strict=True):
            x_BLW = 2 * x_BLW + even(x_BLW) + odd(x_BLW.flip(1)).flip(1)
        return x_BLW


def _move_token(x_BLW: Tensor, *, source: int, target: int) -> Tensor:
    """The sequence with one token moved to another place."""
    if source == target:
        return x_BLW
    token_B1W = x_BLW[:, source : source + 1]
    others_BLW = torch.cat([x_BLW[:, :source], x_BLW[:, source + 1 :]], dim=1)
    return torch.cat([others_BLW[:, :target], token_B1W, others_BLW[:, target:]], dim=1)
