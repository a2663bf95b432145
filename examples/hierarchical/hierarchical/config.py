"""Settings of hierarchical, apart from its modules so that they load without torch."""

from pydantic import Field, model_validator

from core.conditioning.config import VariantConfig


class HierarchicalConfig(VariantConfig):
    """Settings of hierarchical; `--set variant.audio_weight=0.5` changes one."""

    num_foreground: int = Field(default=5, ge=1)
    """Slots for what is in front."""
    num_background: int = Field(default=3, ge=1)
    """Slots for what is behind it."""
    num_ambience: int = Field(default=2, ge=1)
    """Slots for the surroundings."""
    num_blocks: int = Field(default=4, ge=1)
    """Transformer blocks from the slots to as many tokens as the caption has."""
    num_heads: int = Field(default=8, ge=1)
    """Heads of each block; they divide the UNet's context width."""
    audio_weight: float = Field(default=0.3, gt=0)
    """Factor on the audio tokens, which are added to the caption's; more is louder."""
    gate_init: float = Field(default=0.5, gt=0, lt=1)
    """Gate of each of the three levels at the start, in (0, 1)."""
    temperature_init: float = Field(default=1.0, gt=0)
    """Temperature of the router at the start; higher spreads a moment over more slots."""
    temperature_final: float = Field(default=0.1, gt=0)
    """Temperature that training pulls it to; lower makes a moment belong to one slot."""
    anneal_weight: float = Field(default=1e-3, ge=0)
    """Weight of the squared distance of the log temperature from its final one; 0 leaves the
    temperature to the diffusion loss."""

    @model_validator(mode="after")
    def _temperature_falls(self) -> "HierarchicalConfig":
        if self.temperature_final > self.temperature_init:
            raise ValueError(
                f"temperature_final = {self.temperature_final} is above temperature_init = "
                f"{self.temperature_init}; an annealed temperature falls"
            )
        return self
