"""Decoupled cross-attention to the sound (after IP-Adapter, Ye et al. 2023).

A linear layer and a LayerNorm turn each moment of CLAP's sequence into a token; every block attends
to the tokens with the text's query, through keys and values of its own, and adds what it finds to
what the text gave: Z = Attn(Q, K, V) + Attn(Q, K', V') (arXiv 2308.06721, eq. 5), without a gate.
`audio_scale` is their lambda. The UNet stays as it is.

We depart in two points. The tokens are of a sound's moments, so each has a position. K' and V' are
drawn, not copied from the text's: a variant is built from shapes alone, without weights.

Shape legend: B clips, T moments, D width of CLAP's sequence, C context width, W width of a block.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from core.conditioning.attention import AudioProcessor, DecoupledAttention
from core.conditioning.attention_variant import AttentionVariant
from core.conditioning.conditioning import AudioFeature, ConditioningInputs
from core.conditioning.shapes import BlockShape, FoundationShapes
from ip_adapter.config import IpAdapterConfig


class KeyValue(nn.Module):
    """Keys and values of one block; bias-free, so that an absent token has neither."""

    def __init__(self, block: BlockShape, *, context_dim: int, is_zero: bool) -> None:
        super().__init__()
        self.audio_k = nn.Linear(context_dim, block.width, bias=False)
        self.audio_v = nn.Linear(context_dim, block.width, bias=False)
        nn.init.xavier_uniform_(self.audio_k.weight)
        if is_zero:
            nn.init.zeros_(self.audio_v.weight)
        else:
            nn.init.xavier_uniform_(self.audio_v.weight)

    def gate(self) -> Tensor:
        """1: what is found is added whole."""
        return torch.ones((), device=self.audio_k.weight.device)


class IpAdapter(AttentionVariant):
    """Keys and values of its own in every block, no gate."""

    name = "ip_adapter"
    summary = "CLAP's sequence through decoupled keys and values, frozen UNet (after IP-Adapter)"
    Config = IpAdapterConfig

    no_weight_decay: ClassVar[tuple[str, ...]] = ("position_TC",)

    def __init__(self, config: IpAdapterConfig, *, shapes: FoundationShapes) -> None:
        super().__init__(config, shapes=shapes)
        num_moments, width = shapes.clap_sequence
        self.project = nn.Sequential(
            nn.Linear(width, shapes.context_dim), nn.LayerNorm(shapes.context_dim)
        )
        self.position_TC = nn.Parameter(0.02 * torch.randn(num_moments, shapes.context_dim))
        self.layers = nn.ModuleList(
            KeyValue(block, context_dim=shapes.context_dim, is_zero=config.is_zero_at_start)
            for block in shapes.blocks
        )

    @property
    def is_identity_at_init(self) -> bool:
        return self.config.is_zero_at_start

    @property
    def audio_features(self) -> frozenset[AudioFeature]:
        return frozenset({AudioFeature.CLAP_SEQUENCE})

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        """[B, T, C], a token for each moment."""
        return self.project(inputs.audio[AudioFeature.CLAP_SEQUENCE]) + self.position_TC

    def processors(self) -> dict[str, AudioProcessor]:
        return {
            block.path: DecoupledAttention(layer, num_text_tokens=self.shapes.num_text_tokens)
            for block, layer in zip(self.shapes.blocks, self.layers, strict=True)
        }

    def gates(self) -> dict[str, nn.Parameter]:
        return {}

    def gate_values(self) -> dict[str, float]:
        return {}

    @classmethod
    def search_space(cls, trial: Any) -> dict[str, Any]:
        return {"is_zero_at_start": trial.suggest_categorical("is_zero_at_start", [False, True])}
