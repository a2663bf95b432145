"""What is said of a variant before anything is trained."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class DescribedVariant:
    """A line of `harness list`."""

    name: str
    """Name for --variant."""
    summary: str = ""
    """What it is."""
    hears: tuple[str, ...] = ()
    """Audio features it reads."""
    unet_adapter: str = ""
    """How it adapts the UNet from stage 2 on."""
    is_control: bool = False
    """A floor or a ceiling for branches; `harness compare` leaves it out unless it is named."""
    parameters: dict[str, int] = field(default_factory=dict)
    """Trainable parameters by group."""
    stages: dict[str, int] = field(default_factory=dict)
    """Trainable parameters by stage."""
    modules: dict[str, dict[str, int]] = field(default_factory=dict)
    """Trainable parameters by stage, then by top-level module of the variant; its gates together
    as `gates`, LoRA or SSF as `unet_adapter`."""
    steps: dict[str, int] = field(default_factory=dict)
    """Optimiser steps of each stage in the profile."""
    error: str | None = None
    """Why it cannot be used."""

    def data(self) -> dict[str, Any]:
        """For scripts."""
        return asdict(self)
