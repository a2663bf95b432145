"""Settings of the baseline."""

from pydantic import Field

from core.conditioning.config import AdaptedConfig


class BaselineConfig(AdaptedConfig):
    """Settings of the baseline."""

    num_tokens: int = Field(default=8, ge=1)
    """Audio tokens N beside the text; more let one embedding steer more of the softmax."""
    hidden_dim: int = Field(default=1024, ge=1)
    """Width of the adapter's two hidden layers; more is more parameters."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout after each hidden layer, in training."""
    gate_init: float = Field(default=0.5, gt=0, lt=1)
    """Gate at the start, in (0, 1): the factor on the audio tokens' attention weights."""
