"""Settings of sonic."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, model_validator

from core.conditioning.config import AdaptedConfig
from core.conditioning.optional import NONE_BY_NAME, refuse_set

OptionalInt = Annotated[int | None, NONE_BY_NAME]
DEFAULT_TOKENS, DEFAULT_HIDDEN_DIM = 8, 1024


class Projector(StrEnum):
    """The network from CLAP embedding to audio tokens."""

    FOUR_MLP = "four_mlp"  # four parallel MLPs, a quarter of the tokens each
    PAPER = "paper"  # SonicDiffusion's own: convolutions and attention, a token per caption token
    MATCHED_MLP = "matched_mlp"  # control: one MLP of as many parameters as the four


class Layers(StrEnum):
    """The transformer blocks that listen."""

    ALL = "all"
    MID_UP = "mid_up"  # the mid block and the up blocks, as in SonicDiffusion


class SonicConfig(AdaptedConfig):
    """Settings of sonic."""

    projector: Projector = Projector.FOUR_MLP
    """Network from CLAP embedding to audio tokens."""
    num_tokens: OptionalInt = Field(default=None, ge=4, multiple_of=4)
    """Audio tokens N of the MLPs, a multiple of 4; unset is 8, two for each of four MLPs. `paper`
    gives as many as the caption has, 77."""
    hidden_dim: OptionalInt = Field(default=None, ge=1)
    """Hidden width of each of the four MLPs; unset is 1,024. The matched control's follows from
    it, `paper` has none."""
    layers: Layers = Layers.ALL
    """Transformer blocks that listen."""
    gate_init: float = 0.1
    """g at the start; tanh(g) lets audio through. 0 is the identity, but then the layers behind
    the gate get no gradient until the gate has moved, so short stages start from 0.1."""
    contrastive_weight: float = Field(default=0.01, ge=0)
    """Weight of InfoNCE in stage 1. It sees classes only; 0 leaves it out."""
    caption_weight: float = Field(default=0.01, ge=0)
    """Weight of the squared error to the caption's tokens in stage 1; 0 leaves it out. Kept small:
    captions name the class alone, and a large weight makes every clip of a class sound alike."""
    temperature: float = Field(default=0.07, gt=0)
    """Temperature of InfoNCE; lower punishes the nearest wrong class more."""

    @model_validator(mode="after")
    def _refuse_what_is_not_read(self) -> "SonicConfig":
        if self.projector is Projector.PAPER:
            refuse_set(self, "num_tokens", "hidden_dim", reason="by projector paper")
        return self

    def in_effect(self) -> dict[str, Any]:
        values = super().in_effect()
        if self.projector is not Projector.PAPER:
            values["num_tokens"] = self.num_tokens or DEFAULT_TOKENS
            values["hidden_dim"] = self.hidden_dim or DEFAULT_HIDDEN_DIM
        return values
