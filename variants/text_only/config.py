"""Settings of the text-only control."""

from core.choices import UnetAdapterKind
from core.conditioning.config import VariantConfig


class TextOnlyConfig(VariantConfig):
    """Settings of the text-only control."""

    adapt: UnetAdapterKind = UnetAdapterKind.LORA
    """Adapter of the UNet in stage 2; take that of the branch it is held against."""
