"""The settings of a variant, apart from its modules so that they load without torch."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

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
