"""What a Mamba audio encoder is built from; saved beside its weights as config.json."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from core.errors import UsageError


class Layout(StrEnum):
    """How blocks, cls token and norms are put together."""

    SSAMBA = "ssamba"  # cls first, LayerNorm, pairs of blocks of opposite order, last norm twice
    AUM = "aum"  # cls in the middle, RMSNorm, one block after another
    PLAIN = "plain"  # cls first, LayerNorm, one block after another


class Block(StrEnum):
    """The bidirectional mixer of a block."""

    V1 = "v1"  # one convolution and projection for both directions; only A is each one's own
    V2 = "v2"  # the directions share the outer projections alone
    MAMBA2 = "mamba2"  # v2's sharing around Mamba-2's state space; no published weights fit it


class Size(StrEnum):
    """Width and depth by the name of SSAMBA's checkpoints."""

    TINY = "tiny"
    SMALL = "small"
    BASE = "base"
    OWN = "own"  # given by hand


DEPTH = 24
WIDTHS = {Size.TINY: 192, Size.SMALL: 384, Size.BASE: 768}
DEFAULT_HEAD_DIM = 64


class MambaEncoderConfig(BaseModel):
    """Everything the encoder's shapes and arithmetic depend on; defaults are SSAMBA tiny's."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    log_mel: tuple[PositiveInt, PositiveInt] = (128, 1024)
    """Mel bands M x frames T of its input, normalised as (x + 4.268) / 4.569."""
    layout: Layout = Layout.SSAMBA
    """How blocks, cls token and norms are put together."""
    block: Block = Block.V2
    """The bidirectional mixer of a block."""
    patch: tuple[PositiveInt, PositiveInt] = (16, 16)
    """Mel bands x frames of a patch; patches tile the spectrogram without overlap."""
    width: int = Field(default=WIDTHS[Size.TINY], ge=1)
    """Width W of a token."""
    depth: int = Field(default=DEPTH, ge=1)
    """Blocks; cost grows in proportion."""
    state_dim: int = Field(default=16, ge=1)
    """State size of a channel's scan; more remembers more and costs in proportion."""
    conv_width: int = Field(default=4, ge=1)
    """Steps the convolution before each scan sees."""
    expand: int = Field(default=2, ge=1)
    """Inner width of a mixer in widths of the encoder."""
    head_dim: int | None = Field(default=None, ge=1)
    """Channels of a Mamba-2 head, for `block = "mamba2"` alone; unset is 64, or all there are."""

    @model_validator(mode="after")
    def _check(self) -> "MambaEncoderConfig":
        if self.layout is Layout.SSAMBA and self.depth % 2:
            raise ValueError(f"layout ssamba runs its blocks in pairs; got depth {self.depth}")
        if self.block is Block.MAMBA2:
            if self.inner_dim % self.num_head_channels:
                raise ValueError(
                    f"heads of {self.num_head_channels} channels do not divide the inner width "
                    f"{self.inner_dim}; choose another head_dim"
                )
        elif self.head_dim is not None:
            raise ValueError("head_dim is read by block mamba2 alone; leave it unset")
        return self

    @property
    def inner_dim(self) -> int:
        """Inner width E of a mixer."""
        return self.expand * self.width

    @property
    def num_head_channels(self) -> int:
        """Channels of a Mamba-2 head."""
        return self.head_dim or min(DEFAULT_HEAD_DIM, self.inner_dim)

    @property
    def grid(self) -> tuple[int, int]:
        """Patches along (frequency, time).

        Raises:
            UsageError: the spectrogram is not a whole number of patches.
        """
        if self.log_mel[0] % self.patch[0] or self.log_mel[1] % self.patch[1]:
            raise UsageError(
                f"patches of {self.patch[0]} mel bands x {self.patch[1]} frames do not tile a "
                f"spectrogram of {self.log_mel[0]} x {self.log_mel[1]}; choose divisors of both"
            )
        return self.log_mel[0] // self.patch[0], self.log_mel[1] // self.patch[1]
