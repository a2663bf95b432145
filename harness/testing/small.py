"""A small real UNet, its shapes, and clips to condition on: what a variant is tried on.

Shape legend: B clips, L text tokens, C context width.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core.conditioning.attached import predict
from core.conditioning.conditioning import AudioFeature, ConditioningInputs
from core.conditioning.shapes import FoundationShapes, block_shapes
from core.randomness import normal, torch_seeded


@dataclass(frozen=True)
class SmallFoundation:
    """Sizes of the small models; every method gives the same at each call.

    channels: the UNet's width at each resolution; each has cross-attention on the way down and up.
    Change a size where a variant needs it, as in `SmallFoundation(log_mel=(128, 1024))`.
    """

    channels: tuple[int, ...] = (32, 64)
    latent_size: int = 8
    context_dim: int = 64
    num_text_tokens: int = 6
    clap_pooled_dim: int = 20
    clap_sequence: tuple[int, int] = (4, 24)
    log_mel: tuple[int, int] = (16, 32)
    msclap_pooled_dim: int = 1024
    num_classes: int = 3

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of a latent."""
        return (4, self.latent_size, self.latent_size)

    def unet(self) -> Any:
        """A diffusers UNet with drawn weights, frozen, in eval mode."""
        from diffusers import UNet2DConditionModel

        with torch_seeded(0, "test", "unet"):
            unet: Any = UNet2DConditionModel(
                sample_size=self.latent_size,
                block_out_channels=self.channels,
                layers_per_block=1,
                cross_attention_dim=self.context_dim,
                attention_head_dim=4,
                norm_num_groups=8,
                down_block_types=("CrossAttnDownBlock2D",) * len(self.channels),
                up_block_types=("CrossAttnUpBlock2D",) * len(self.channels),
            )
        return unet.requires_grad_(False).eval()

    def shapes(self, unet: Any) -> FoundationShapes:
        """What a variant is built from."""
        return FoundationShapes(
            context_dim=self.context_dim,
            num_text_tokens=self.num_text_tokens,
            clap_pooled_dim=self.clap_pooled_dim,
            clap_sequence=self.clap_sequence,
            log_mel=self.log_mel,
            num_classes=self.num_classes,
            blocks=block_shapes(unet),
            msclap_pooled_dim=self.msclap_pooled_dim,
        )

    def inputs(
        self, features: Collection[AudioFeature] = tuple(AudioFeature), *, num_clips: int = 4
    ) -> ConditioningInputs:
        """Clips whose sounds all differ; two clips of one class share their caption.

        features: those a variant asks for, as in a run; what it did not ask for is not there.
        """
        class_index_B = torch.arange(num_clips) % min(self.num_classes, max(1, num_clips - 1))
        captions = [
            normal((self.num_text_tokens, self.context_dim), seed=0, name=("caption", k))
            for k in range(self.num_classes)
        ]
        return ConditioningInputs(
            text_BLC=torch.stack([captions[int(k)] for k in class_index_B]),
            audio={
                feature: torch.stack([self._feature(feature, clip) for clip in range(num_clips)])
                for feature in sorted(features)
            },
            class_index_B=class_index_B,
        )

    def _feature(self, feature: AudioFeature, clip: int) -> Tensor:
        shape = {
            AudioFeature.CLAP_POOLED: (self.clap_pooled_dim,),
            AudioFeature.CLAP_SEQUENCE: self.clap_sequence,
            AudioFeature.LOG_MEL: self.log_mel,
            AudioFeature.MSCLAP_POOLED: (self.msclap_pooled_dim,),
        }[feature]
        drawn = normal(shape, seed=0, name=("sound", str(feature), clip))
        return drawn / drawn.norm() if feature is AudioFeature.CLAP_POOLED else drawn

    def null_text(self) -> Tensor:
        """The empty prompt [L, C]."""
        return normal((self.num_text_tokens, self.context_dim), seed=0, name=("null",))

    def predict(self, unet: Any, context_BKC: Tensor, *, first_row: int = 0) -> Tensor:
        """The UNet's answer to a context, on latents and timesteps fixed by row."""
        rows = range(first_row, first_row + len(context_BKC))
        noisy_BCHW = torch.stack(
            [normal(self.latent_shape, seed=0, name=("noisy", row)) for row in rows]
        )
        timesteps_B = torch.tensor([(100 + 200 * row) % 1000 for row in rows])
        device = context_BKC.device
        return predict(unet, noisy_BCHW.to(device), timesteps_B.to(device), context_BKC)
