"""A branch without defects, which others are made from."""

from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from core.conditioning.attention import (
    AudioProcessor,
    JointAttention,
)
from core.conditioning.attention_variant import AttentionVariant
from core.conditioning.conditioning import AudioFeature, ConditioningInputs
from core.conditioning.gates import SigmoidGate
from core.conditioning.shapes import FoundationShapes
from core.conditioning.variant import UnetAdapterKind, VariantConfig
from harness.testing import SmallFoundation

POOLED = AudioFeature.CLAP_POOLED


SMALLER = SmallFoundation(channels=(16,), latent_size=4, context_dim=16)


class SoundConfig(VariantConfig):
    """Settings of a variant without defects."""

    num_tokens: int = Field(default=2, ge=1)
    """Audio tokens."""


class Sound(AttentionVariant):
    """Keeps every promise; each class below breaks one."""

    name = "sound"
    summary = "a linear layer to tokens beside the text"
    Config: ClassVar[type[VariantConfig]] = SoundConfig
    unet_adapter = UnetAdapterKind.NONE  # a third of the time, and tested elsewhere

    def __init__(self, config: Any, *, shapes: FoundationShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.project = nn.Linear(shapes.clap_pooled_dim, config.num_tokens * shapes.context_dim)
        self.dropout = nn.Dropout(0.5)
        self.gate = SigmoidGate(0.5)

    @property
    def audio_features(self) -> frozenset[AudioFeature]:
        return frozenset({POOLED})

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        tokens_BD = self.project(self.dropout(3 * inputs.audio[POOLED]))
        return tokens_BD.unflatten(-1, (-1, self.shapes.context_dim))

    def processor(self) -> AudioProcessor:
        return JointAttention(self.gate, num_text_tokens=self.shapes.num_text_tokens)

    def processors(self) -> dict[str, AudioProcessor]:
        return {block.path: self.processor() for block in self.shapes.blocks}

    def gates(self) -> dict[str, nn.Parameter]:
        return {"gate": self.gate.raw}

    def gate_values(self) -> dict[str, float]:
        return {"gate": self.gate().item()}

    @classmethod
    def search_space(cls, trial: Any) -> dict[str, Any]:
        return {"num_tokens": trial.suggest_int("num_tokens", 1, 4)}
