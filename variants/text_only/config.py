"""Settings of the text-only control."""

from core.conditioning.config import AdaptedConfig


class TextOnlyConfig(AdaptedConfig):
    """Settings of the text-only control; take `adapt` from the branch it is held against."""
