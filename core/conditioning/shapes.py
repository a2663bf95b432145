"""Sizes of a foundation that a variant needs to build itself, known without any weights."""

from dataclasses import dataclass
from typing import Any

from core.choices import AudioFeature

SECTIONS = ("down", "mid", "up")
"""Where a UNet's blocks lie."""


@dataclass(frozen=True)
class BlockShape:
    """One transformer block of the UNet.

    path: module path, e.g. `mid_block.attentions.0.transformer_blocks.0`.
    section: `down`, `mid` or `up`. width: hidden width. num_heads: cross-attention heads.
    """

    path: str
    section: str
    width: int
    num_heads: int


@dataclass(frozen=True)
class FoundationShapes:
    """Sizes of the frozen models and of the audio features.

    context_dim: width C of the UNet's cross-attention context.
    num_text_tokens: length L of the text context (77 for SD v1.5).
    clap_pooled_dim: width of the pooled CLAP embedding (512).
    clap_sequence: (tokens, width) of CLAP's last hidden state, one token per time step.
    log_mel: (mel bands M, frames T).
    num_classes: classes of the split.
    msclap_pooled_dim: width of Microsoft's CLAP 2023 embedding.
    blocks: the UNet's transformer blocks in module order.
    """

    context_dim: int
    num_text_tokens: int
    clap_pooled_dim: int
    clap_sequence: tuple[int, int]
    log_mel: tuple[int, int]
    num_classes: int
    blocks: tuple[BlockShape, ...]
    msclap_pooled_dim: int = 1024

    def of(self, feature: AudioFeature) -> tuple[int, ...]:
        """Shape of one clip's feature, without the batch."""
        return {
            AudioFeature.CLAP_POOLED: (self.clap_pooled_dim,),
            AudioFeature.CLAP_SEQUENCE: self.clap_sequence,
            AudioFeature.LOG_MEL: self.log_mel,
            AudioFeature.MSCLAP_POOLED: (self.msclap_pooled_dim,),
        }[feature]


def block_shapes(unet: Any) -> tuple[BlockShape, ...]:
    """Shapes of every transformer block of a diffusers `UNet2DConditionModel`."""
    shapes = []
    for path, module in unet.named_modules():
        if type(module).__name__ == "BasicTransformerBlock":
            section = path.split("_", 1)[0]
            shapes.append(
                BlockShape(
                    path=path,
                    section=section,
                    width=module.attn2.to_q.in_features,
                    num_heads=module.attn2.heads,
                )
            )
    return tuple(shapes)
