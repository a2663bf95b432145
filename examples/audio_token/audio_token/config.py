"""Settings of audio_token."""

from pydantic import Field

from core.conditioning.config import AdaptedConfig


class AudioTokenConfig(AdaptedConfig):
    """Settings of audio_token; `adapt` is LoRA as an option of AudioToken's own code is."""

    hidden_dim: int = Field(default=768, ge=1)
    """Width between the two layers that turn a moment of CLAP's sequence into a token's width."""
    cosine_weight: float = Field(default=0.01, ge=0)
    """Weight of (1 - cosine of the token and the caption's mean token)^2; 0 leaves it out. It sees
    captions, which name the class alone."""
    length_weight: float = Field(default=1e-4, ge=0)
    """Weight of the token's mean square; 0 leaves it out."""
