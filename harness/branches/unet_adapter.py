"""The adapter of the UNet that a variant asks for, with the profile's settings of it."""

from collections.abc import Callable
from functools import partial
from typing import Any

from core.conditioning.adapters import UnetAdapter, attach_unet_adapter
from core.conditioning.variant import Variant
from harness.settings.profile import Profile


def adapter_of(variant: Variant, *, profile: Profile) -> Callable[[Any], UnetAdapter]:
    """What attaches the adapter to a UNet: the same where it is trained, counted and costed."""
    return partial(
        attach_unet_adapter,
        kind=variant.unet_adapter,
        lora_rank=variant.lora_rank or profile.lora.rank,
        lora_alpha=profile.lora.alpha,
        lora_dropout=profile.lora.dropout,
        lora_sections=variant.lora_sections,
        ssf_scope=profile.ssf.scope,
        options=variant.unet_adapter_options,
    )
