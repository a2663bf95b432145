"""Settings of the cutting-edge branch."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, PositiveInt, ValidationError, model_validator

from core.choices import UnetAdapterKind
from core.conditioning.config import AdaptedConfig
from core.conditioning.optional import NONE_BY_NAME, refuse_set
from core.foundation.mamba.config import DEPTH, WIDTHS, Block, Layout, MambaEncoderConfig, Size

OptionalInt = Annotated[int | None, NONE_BY_NAME]
OptionalLayout = Annotated[Layout | None, NONE_BY_NAME]
OptionalText = Annotated[str | None, NONE_BY_NAME]
DEFAULT_POOLED_TOKENS = 4


class Tokens(StrEnum):
    """The encoder's tokens that the UNet reads, cls always among them."""

    PER_TIME = "per_time"  # one for each step in time, the mean over frequency
    ALL = "all"  # every patch


class Position(StrEnum):
    """What tells an encoder's tokens apart by their place, since attention reads a set."""

    LEARNED = "learned"  # codes from noise of deviation 0.02, next to tokens of deviation 1
    SINUSOIDAL = "sinusoidal"  # codes of the tokens' own size by time and band, trained from there


class PooledAudio(StrEnum):
    """The pooled embedding that is heard beside the encoder's tokens."""

    CLAP = "clap"  # the foundation's CLAP
    MSCLAP = "msclap"  # Microsoft's CLAP 2023, from the feature cache
    NONE = "none"  # the encoder alone


class EncoderAdapt(StrEnum):
    """What of the encoder trains."""

    FULL = "full"  # every weight
    SSF = "ssf"  # a scale and a shift after each operation; the pretrained weights stay
    FROZEN = "frozen"  # nothing


class CuttingEdgeConfig(AdaptedConfig):
    """Settings of the cutting-edge branch; the defaults are of SSAMBA tiny's size."""

    size: Size = Size.TINY
    """Width and depth of the encoder: SSAMBA's tiny, small and base, or own."""
    width: OptionalInt = Field(default=None, ge=1)
    """Width of an encoder of `size = "own"`."""
    depth: OptionalInt = Field(default=None, ge=1)
    """Mamba blocks of an encoder of `size = "own"`; cost grows in proportion."""
    layout: OptionalLayout = None
    """How blocks, cls and norms are put together: ssamba, aum, or plain. Unset is plain for an
    encoder that starts from nothing, ssamba for a pretrained one: SSAMBA doubles the stream with
    each pair of blocks, so that a fresh one's last blocks get a 2,000th of its first's gradient."""
    block: Block = Block.V2
    """Bidirectional mixer: v1, v2, or mamba2, faster on a CPU; no published weights fit it."""
    state_dim: int = Field(default=16, ge=1)
    """State size of a channel's scan; more remembers more and costs in proportion."""
    conv_width: int = Field(default=4, ge=1)
    """Steps the convolution before each scan sees."""
    expand: int = Field(default=2, ge=1)
    """Inner width of a mixer in widths of the encoder."""
    head_dim: OptionalInt = Field(default=None, ge=1)
    """Channels of a head of `block = "mamba2"`; unset is 64, or all there are."""
    patch: tuple[PositiveInt, PositiveInt] = (16, 16)
    """Mel bands x frames of a patch; must tile the spectrogram. Smaller is more tokens."""
    pretrained: OptionalText = None
    """Folder of a pretrained encoder of the same settings (`harness convert` writes one), or
    embedded:NAME; unset starts from nothing."""
    encoder_adapt: EncoderAdapt = EncoderAdapt.FULL
    """What of the encoder trains: full, or with a pretrained one also ssf or frozen."""
    tokens: Tokens = Tokens.PER_TIME
    """Encoder tokens the UNet reads: one per time step, or every patch."""
    position: Position = Position.LEARNED
    """Codes added to the encoder's tokens: learned from small noise, or sinusoidal, as large as
    the tokens. With the first a short training does not learn when a sound comes, see
    docs/timing.md."""
    audio: PooledAudio = PooledAudio.CLAP
    """Pooled embedding beside the encoder's tokens; none is the encoder alone. The encoder may
    start from nothing, CLAP does not."""
    num_pooled_tokens: OptionalInt = Field(default=None, ge=1)
    """Tokens made from the pooled embedding; unset is 4, or 0 with `audio = "none"`."""
    gate_init: float = 0.1
    """g of every block at the start; tanh(g) scales what audio adds. At 0 nothing behind the gate
    gets a gradient until it has moved."""
    adapt: UnetAdapterKind = UnetAdapterKind.SSF
    """Adapter of the UNet from stage 2 on: ssf, lora, dora, ia3, none, or another tuner of peft by
    its name (`harness list --adapters`)."""

    @model_validator(mode="after")
    def _refuse_what_is_not_read(self) -> "CuttingEdgeConfig":
        if self.size is Size.OWN:
            if self.width is None or self.depth is None:
                raise ValueError("size own needs width and depth")
        else:
            refuse_set(self, "width", "depth", reason=f"at size {self.size} (own reads it)")
        if self.pretrained is None and self.encoder_adapt is not EncoderAdapt.FULL:
            raise ValueError(
                f"encoder_adapt {self.encoder_adapt} leaves the encoder's weights as they are, and "
                "there are none without `pretrained`; name a pretrained encoder, or train it full"
            )
        if self.audio is PooledAudio.NONE:
            refuse_set(self, "num_pooled_tokens", reason="without a pooled embedding")
        try:
            self.encoder(log_mel=self.patch)
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
        return self

    def encoder(self, *, log_mel: tuple[int, int]) -> MambaEncoderConfig:
        """The encoder's own settings for a spectrogram of (mel bands, frames)."""
        return MambaEncoderConfig(
            log_mel=log_mel,
            layout=self.layout or self._default_layout,
            block=self.block,
            patch=self.patch,
            width=self.width if self.width is not None else WIDTHS[self.size],
            depth=self.depth if self.depth is not None else DEPTH,
            state_dim=self.state_dim,
            conv_width=self.conv_width,
            expand=self.expand,
            head_dim=self.head_dim,
        )

    @property
    def _default_layout(self) -> Layout:
        return Layout.PLAIN if self.pretrained is None else Layout.SSAMBA

    @property
    def pooled_tokens(self) -> int:
        """Tokens made from the pooled embedding."""
        if self.audio is PooledAudio.NONE:
            return 0
        return self.num_pooled_tokens or DEFAULT_POOLED_TOKENS

    def in_effect(self) -> dict[str, Any]:
        values = super().in_effect()
        encoder = self.encoder(log_mel=self.patch)  # the spectrogram decides none of these
        values |= {"width": encoder.width, "depth": encoder.depth}
        values["layout"] = encoder.layout.value
        if self.block is Block.MAMBA2:
            values["head_dim"] = encoder.num_head_channels
        if self.audio is not PooledAudio.NONE:
            values["num_pooled_tokens"] = self.pooled_tokens
        return values

    def sources(self) -> dict[str, str]:
        return {} if self.pretrained is None else {"mamba_encoder": self.pretrained}
