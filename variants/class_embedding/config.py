"""Settings of the class-embedding control."""

from pydantic import Field

from core.conditioning.config import AdaptedConfig


class ClassEmbeddingConfig(AdaptedConfig):
    """Settings of the class-embedding control; take `adapt` from the branch it is held against."""

    num_tokens: int = Field(default=8, ge=1)
    """Tokens N of each class beside the text, as many as the baseline's audio tokens."""
    gate_init: float = Field(default=0.5, gt=0, lt=1)
    """Gate at the start, in (0, 1): the factor on the tokens' attention weights."""
