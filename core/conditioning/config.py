"""The settings of a variant, apart from its modules so that they load without torch."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from core.choices import UnetAdapterKind
from core.conditioning.tuner_kinds import OURS, REFUSED

SCHEDULE = ("lr_factor", "gate_lr_factor", "moved_steps")
"""Settings of every branch that are its share of the schedule: they change no module."""


class VariantConfig(BaseModel):
    """Base of a variant's settings: frozen, and a key nothing reads is refused.

    Each field's docstring is its description. Those declared here are every branch's own share of
    the schedule, so that rates can be tuned for each branch while the profile stays the same.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    lr_factor: float = Field(default=1.0, gt=0)
    """Factor on the profile's learning rates of modules and UNet adapter, in all stages."""
    gate_lr_factor: float = Field(default=1.0, gt=0)
    """Factor on the profile's learning rates of the gates, in all stages."""
    moved_steps: float = Field(default=0.0, ge=-0.9, le=0.9)
    """Share of stage 1's steps that are made in stage 2 instead; negative: of stage 2's in stage
    1. The budget of both together stays."""

    def sources(self) -> dict[str, str]:
        """Sources of pretrained parts it loads, by role; the id of a run covers their hashes."""
        return {}

    def in_effect(self) -> dict[str, Any]:
        """Every setting as JSON has it, an unset one with what it stands for.

        None stays where nothing stands for it, since the other choices leave it unread.
        """
        return self.model_dump(mode="json")


class AdaptedConfig(VariantConfig):
    """Settings of a variant whose UNet adapter is a choice; `Variant.unet_adapter` reads them."""

    adapt: UnetAdapterKind = UnetAdapterKind.LORA
    """Adapter of the UNet from stage 2 on: lora, dora, ia3, ssf, none, or another tuner of peft by
    its name (`harness list --adapters`)."""
    adapt_options: dict[str, bool | int | float | str] = {}
    """Options of another tuner, by the names of its peft config."""

    @model_validator(mode="after")
    def _refuse_what_no_unet_takes(self) -> Self:
        if self.adapt in REFUSED:
            raise ValueError(
                f"adapt = '{self.adapt}' is not an adapter of a UNet: {REFUSED[self.adapt]}"
            )
        if self.adapt_options and self.adapt in OURS:
            raise ValueError(
                f"adapt_options are of a tuner of peft, and adapt = '{self.adapt}' takes none: the "
                "profile's lora.rank, lora.alpha, lora.dropout and ssf.scope are its settings"
            )
        return self
