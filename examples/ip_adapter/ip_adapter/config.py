"""Settings of ip_adapter."""

from core.choices import UnetAdapterKind
from core.conditioning.config import AdaptedConfig


class IpAdapterConfig(AdaptedConfig):
    """Settings of ip_adapter."""

    adapt: UnetAdapterKind = UnetAdapterKind.NONE
    """Adapter of the UNet in stage 2; IP-Adapter leaves the UNet as it is."""
    is_zero_at_start: bool = False
    """Whether values start at 0, so that a fresh branch is the plain UNet."""
