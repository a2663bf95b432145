"""The baseline: an MLP adapter whose tokens join the text in the UNet's own cross-attention.

Shape legend: B batch, D CLAP width, N audio tokens, C context width.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from core.conditioning.attention import AudioProcessor, JointAttention
from core.conditioning.attention_variant import AttentionVariant
from core.conditioning.conditioning import AudioFeature, ConditioningInputs
from core.conditioning.gates import SigmoidGate
from core.conditioning.shapes import FoundationShapes
from variants.baseline.config import BaselineConfig


class AudioAdapter(nn.Module):
    """Pooled CLAP embedding [B, D] to audio tokens [B, N, C]."""

    no_weight_decay: ClassVar[tuple[str, ...]] = ("position_NC", "type_C")

    def __init__(self, config: BaselineConfig, *, clap_dim: int, context_dim: int) -> None:
        super().__init__()
        hidden_dim = config.hidden_dim
        self.trunk = nn.Sequential(
            nn.Linear(clap_dim, hidden_dim),
            nn.LayerNorm(hidden_dim),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(hidden_dim, hidden_dim),
            nn.LayerNorm(hidden_dim),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(hidden_dim, config.num_tokens * context_dim),
            nn.Unflatten(-1, (config.num_tokens, context_dim)),
            nn.LayerNorm(context_dim),
        )
        self.position_NC = nn.Parameter(0.02 * torch.randn(config.num_tokens, context_dim))
        self.type_C = nn.Parameter(0.02 * torch.randn(1, context_dim))

    def forward(self, clap_BD: Tensor) -> Tensor:
        return self.trunk(clap_BD) + self.position_NC + self.type_C


class Baseline(AttentionVariant):
    """CLAP adapter; its tokens share the text's attention, one gate weighs them."""

    name = "baseline"
    summary = "CLAP embedding through an MLP to 8 tokens next to the text, one shared gate"
    Config = BaselineConfig

    def __init__(self, config: BaselineConfig, *, shapes: FoundationShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.adapter = AudioAdapter(
            config, clap_dim=shapes.clap_pooled_dim, context_dim=shapes.context_dim
        )
        self.gate = SigmoidGate(config.gate_init)

    @property
    def audio_features(self) -> frozenset[AudioFeature]:
        return frozenset({AudioFeature.CLAP_POOLED})

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        return self.adapter(inputs.audio[AudioFeature.CLAP_POOLED])

    def processors(self) -> dict[str, AudioProcessor]:
        return {
            block.path: JointAttention(self.gate, num_text_tokens=self.shapes.num_text_tokens)
            for block in self.shapes.blocks
        }

    def gates(self) -> dict[str, nn.Parameter]:
        return {"gate": self.gate.raw}

    def gate_values(self) -> dict[str, float]:
        return {"gate": self.gate().item()}

    def gate_factors(self) -> dict[str, Tensor]:
        return {"gate": self.gate()}

    @classmethod
    def search_space(cls, trial: Any) -> dict[str, Any]:
        return {
            "num_tokens": trial.suggest_categorical("num_tokens", [4, 8, 16]),
            "dropout": trial.suggest_float("dropout", 0.0, 0.3),
            "gate_init": trial.suggest_float("gate_init", 0.1, 0.9),
        }
