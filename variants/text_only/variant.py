"""The floor: no sound at all, the same LoRA for the same steps.

A branch trains LoRA in stage 2, and LoRA alone brings the UNet closer to the pictures. Without
this control that would pass for listening. It has no modules and no gates, so stages 1 and 3 have
nothing to train; stage 2 sees the same clips, noise and steps as every branch's.
"""

from torch import nn

from core.conditioning.conditioning import AudioFeature, ConditioningInputs
from core.conditioning.variant import Variant
from variants.text_only.config import TextOnlyConfig


class TextOnly(Variant):
    """The frozen UNet and its adapter, deaf."""

    name = "text_only"
    summary = "the caption and LoRA alone, no sound: the floor that a listening branch must beat"
    Config = TextOnlyConfig
    is_control = True

    @property
    def is_identity_at_init(self) -> bool:
        return True

    @property
    def audio_features(self) -> frozenset[AudioFeature]:
        return frozenset()

    def audio_tokens(self, inputs: ConditioningInputs) -> None:
        return None

    def attach(self, unet: nn.Module) -> None:
        """Nothing reads audio, so there is nothing to install."""

    def detach(self) -> None:
        """Nothing was installed."""

    def gates(self) -> dict[str, nn.Parameter]:
        return {}

    def gate_values(self) -> dict[str, float]:
        return {}
