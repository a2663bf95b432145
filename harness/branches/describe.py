"""What each variant is and trains, from shapes alone: no weights are read."""

from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from core.conditioning.attached import AttachedVariant
from core.conditioning.counting import parameters_by_module
from core.conditioning.shapes import FoundationShapes
from core.conditioning.stage import STAGE_GROUPS, ParameterGroup
from core.errors import HarnessError
from core.foundation.architecture import Architecture, read_architecture
from harness.branches.registry import Registration, registrations
from harness.branches.unet_adapter import adapter_of
from harness.settings.load import load_profile, parse_settings
from harness.settings.profile import Profile

_NUM_CLASSES = 8  # the user's; only a variant with a vector per class depends on it


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


def describe_variants(profile_name: str) -> list[DescribedVariant]:
    """Every registered variant at the profile's size; a broken one says so and harms no other.

    Raises:
        UsageError: no such profile.
    """
    profile = load_profile(profile_name)
    architecture = read_architecture(profile.foundation.stable_diffusion, profile.foundation.clap)
    described = []
    for registration in registrations().values():
        try:
            described.append(_describe(registration, profile=profile, architecture=architecture))
        except HarnessError as error:
            described.append(DescribedVariant(registration.name, error=str(error)))
        except Exception as error:  # a plug-in's constructor may raise anything
            told = f"cannot be built: {type(error).__name__}: {error}"
            described.append(DescribedVariant(registration.name, error=told))
    return described


def _describe(
    registration: Registration, *, profile: Profile, architecture: Architecture
) -> DescribedVariant:
    variant_class = registration.load()
    config = parse_settings(
        variant_class.Config,
        profile.variants.get(registration.name, {}),
        what=f"setting of variant {registration.name}:",
    )
    log_mel = profile.data.log_mel
    shapes: FoundationShapes = architecture.shapes(
        log_mel=(log_mel.num_mels, log_mel.num_frames), num_classes=_NUM_CLASSES
    )
    with torch.device("meta"):
        variant = variant_class(config, shapes=shapes)
        model = AttachedVariant(
            variant,
            unet=architecture.meta_unet(),
            attach_adapter=adapter_of(variant, profile=profile),
        )
    modules = {
        f"stage{number}": parameters_by_module(model, groups)
        for number, groups in enumerate(STAGE_GROUPS, start=1)
    }
    return DescribedVariant(
        name=registration.name,
        summary=variant.summary,
        hears=tuple(sorted(variant.audio_features)),
        unet_adapter=variant.unet_adapter.value,
        is_control=variant.is_control,
        parameters={
            str(group): sum(parameters_by_module(model, [group]).values())
            for group in ParameterGroup
        },
        stages={stage: sum(counts.values()) for stage, counts in modules.items()},
        modules=modules,
        steps={
            stage: settings.steps
            for stage, settings in zip(
                modules, (profile.stage1, profile.stage2, profile.stage3), strict=True
            )
        },
    )
