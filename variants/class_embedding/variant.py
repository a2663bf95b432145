"""The ceiling of hearing no more than the class: a table of tokens, read by the true class.

It is told the class of the clip and never its sound. A table is the most general function of a
class, so no classifier in its place could add more. A branch that does not beat it tells classes
apart, and hears nothing within one.

Shape legend: B batch, K classes, N tokens, C context width.
"""

from typing import Any

import torch
from torch import Tensor, nn

from core.conditioning.attention import AudioProcessor, JointAttention
from core.conditioning.attention_variant import AttentionVariant
from core.conditioning.conditioning import AudioFeature, ConditioningInputs
from core.conditioning.gates import SigmoidGate
from core.conditioning.shapes import FoundationShapes
from variants.class_embedding.config import ClassEmbeddingConfig


class ClassEmbedding(AttentionVariant):
    """Learned tokens of the true class share the text's attention; one gate weighs them."""

    name = "class_embedding"
    summary = "learned tokens of the true class, no sound: what a perfect classifier could add"
    Config = ClassEmbeddingConfig
    is_control = True
    reads_class = True

    def __init__(self, config: ClassEmbeddingConfig, *, shapes: FoundationShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.table_KNC = nn.Parameter(
            torch.randn(shapes.num_classes, config.num_tokens, shapes.context_dim)
        )
        self.norm = nn.LayerNorm(shapes.context_dim)
        self.gate = SigmoidGate(config.gate_init)

    @property
    def audio_features(self) -> frozenset[AudioFeature]:
        return frozenset()

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        """The tokens [B, N, C] of each clip's class; they are dropped as a branch's audio is."""
        return self.norm(self.table_KNC[inputs.class_index_B])

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
            "gate_init": trial.suggest_float("gate_init", 0.1, 0.9),
        }
