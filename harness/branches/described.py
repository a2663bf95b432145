"""What is said of a variant, and of an adapter, before anything is trained."""

from dataclasses import asdict, dataclass, field
from typing import Any

from core.choices import UnetAdapterKind


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


@dataclass(frozen=True)
class DescribedAdapter:
    """A line of `harness list --adapters`."""

    kind: UnetAdapterKind
    """Name for `adapt`."""
    is_ours: bool
    """Whether the profile has settings of it; the others take options of peft's."""
    parameters: int | None = None
    """Trainable parameters at the profile's size; None where they cannot be counted."""
    departs: float | None = None
    """Largest change of a small UNet's output before training, relative to the largest value;
    0: exactly the identity."""
    options: tuple[str, ...] = ()
    """Names that `adapt_options` takes."""
    refused: str | None = None
    """Why it is not an adapter here."""
    note: str | None = None
    """Why a number is missing."""

    def data(self) -> dict[str, Any]:
        """For scripts."""
        return {**asdict(self), "kind": self.kind.value}
