"""A branch at full size on the meta device: every shape and count of it, and no memory."""

from dataclasses import dataclass

import torch

from core.conditioning.attached import AttachedVariant
from core.conditioning.config import VariantConfig
from core.conditioning.counting import parameters_by_module
from core.conditioning.shapes import FoundationShapes
from core.conditioning.stage import STAGE_GROUPS, ParameterGroup
from core.conditioning.variant import Variant
from core.foundation.architecture import Architecture
from harness.branches.described import DescribedVariant
from harness.branches.registry import Registration
from harness.branches.unet_adapter import adapter_of
from harness.settings.load import parse_settings
from harness.settings.profile import Profile

_NUM_CLASSES = 8  # the user's; only a variant with a vector per class depends on it


@dataclass(frozen=True)
class MetaModel:
    """A variant attached to its UNet, without values."""

    attached: AttachedVariant
    """On the meta device."""
    shapes: FoundationShapes
    """What it was built from."""


def meta_model(
    variant_class: type[Variant],
    *,
    config: VariantConfig,
    profile: Profile,
    architecture: Architecture,
    num_classes: int,
) -> MetaModel:
    """The branch as the profile would train it, on the meta device."""
    log_mel = profile.data.log_mel
    shapes = architecture.shapes(
        log_mel=(log_mel.num_mels, log_mel.num_frames), num_classes=num_classes
    )
    with torch.device("meta"):
        variant = variant_class(config, shapes=shapes)
        attached = AttachedVariant(
            variant,
            unet=architecture.meta_unet(),
            attach_adapter=adapter_of(variant, profile=profile),
        )
    return MetaModel(attached, shapes)


def count_parameters(
    registration: Registration, *, profile: Profile, architecture: Architecture
) -> DescribedVariant:
    """What a variant is and trains at the profile's size.

    Raises:
        UsageError: it cannot be imported, or the profile has a setting that it does not.
    """
    variant_class = registration.load()
    config = parse_settings(
        variant_class.Config,
        profile.variants.get(registration.name, {}),
        what=f"setting of variant {registration.name}:",
    )
    model = meta_model(
        variant_class,
        config=config,
        profile=profile,
        architecture=architecture,
        num_classes=_NUM_CLASSES,
    ).attached
    modules = {
        f"stage{number}": parameters_by_module(model, groups)
        for number, groups in enumerate(STAGE_GROUPS, start=1)
    }
    return DescribedVariant(
        name=registration.name,
        summary=model.variant.summary,
        hears=tuple(sorted(model.variant.audio_features)),
        unet_adapter=model.variant.unet_adapter.value,
        is_control=model.variant.is_control,
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
