"""Cutting edge: a Mamba encoder hears the log-mel; its token sequence goes to the UNet.

Shape legend: B batch, N audio tokens, C context width, W encoder width, F patches along
frequency, P patches along time, D CLAP width.
"""

from enum import StrEnum
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from core.conditioning.attention import AudioProcessor, DecoupledAttention, DecoupledKeyValue
from core.conditioning.attention_variant import AttentionVariant
from core.conditioning.conditioning import AudioFeature, ConditioningInputs
from core.conditioning.shapes import FoundationShapes
from core.conditioning.variant import UnetAdapterKind, VariantConfig
from variants.cutting_edge.encoder import MambaAudioEncoder


class Tokens(StrEnum):
    """The encoder's tokens that the UNet reads, cls always among them."""

    PER_TIME = "per_time"  # one for each step in time, the mean over frequency
    ALL = "all"  # every patch


class CuttingEdgeConfig(VariantConfig):
    """Settings of the cutting-edge branch; the defaults are SSAMBA tiny at full size."""

    width: int = Field(default=192, ge=1)
    """Width of the encoder: 192, 384, 768 are SSAMBA's tiny, small and base."""
    depth: int = Field(default=24, ge=1)
    """Mamba blocks of the encoder; cost grows in proportion."""
    state_dim: int = Field(default=16, ge=1)
    """State size of a channel's scan; more remembers more and costs in proportion."""
    conv_width: int = Field(default=4, ge=1)
    """Steps the convolution before each scan sees."""
    expand: int = Field(default=2, ge=1)
    """Inner width of a mixer in widths of the encoder."""
    patch: tuple[int, int] = (16, 16)
    """Mel bands x frames of a patch; must tile the spectrogram. Smaller is more tokens."""
    tokens: Tokens = Tokens.PER_TIME
    """Encoder tokens the UNet reads: one per time step, or every patch."""
    num_clap_tokens: int = Field(default=4, ge=0)
    """Tokens made from the pooled CLAP embedding beside the encoder's; 0 is the encoder alone.
    The encoder starts from nothing, CLAP does not."""
    gate_init: float = 0.1
    """g of every block at the start; tanh(g) scales what audio adds. At 0 nothing behind the gate
    gets a gradient until it has moved."""
    adapt: UnetAdapterKind = UnetAdapterKind.SSF
    """Adapter of the UNet from stage 2 on: ssf, lora or none."""


class CuttingEdge(AttentionVariant):
    """Mamba encoder, decoupled gated keys and values in every block, SSF instead of LoRA."""

    name = "cutting_edge"
    summary = "Mamba encoder over the log-mel, decoupled gated keys and values, SSF on the UNet"
    Config = CuttingEdgeConfig

    def __init__(self, config: CuttingEdgeConfig, *, shapes: FoundationShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.encoder = MambaAudioEncoder(
            shapes.log_mel,
            patch=config.patch,
            width=config.width,
            depth=config.depth,
            state_dim=config.state_dim,
            conv_width=config.conv_width,
            expand=config.expand,
        )
        num_bands, num_steps = self.encoder.grid
        num_heard = 1 + (num_steps if config.tokens is Tokens.PER_TIME else num_bands * num_steps)
        self.project = nn.Linear(config.width, shapes.context_dim)
        self.clap_project = (
            nn.Linear(shapes.clap_pooled_dim, config.num_clap_tokens * shapes.context_dim)
            if config.num_clap_tokens
            else None
        )
        self.norm = nn.LayerNorm(shapes.context_dim)
        self.position_NC = nn.Parameter(
            0.02 * torch.randn(num_heard + config.num_clap_tokens, shapes.context_dim)
        )
        self.layers = nn.ModuleList(
            DecoupledKeyValue(block, context_dim=shapes.context_dim, gate_init=config.gate_init)
            for block in shapes.blocks
        )

    @property
    def audio_features(self) -> frozenset[AudioFeature]:
        features = {AudioFeature.LOG_MEL}
        if self.clap_project is not None:
            features.add(AudioFeature.CLAP_POOLED)
        return frozenset(features)

    @property
    def unet_adapter(self) -> UnetAdapterKind:
        return self.config.adapt

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        """[B, N, C]: cls, the encoder's tokens in time order, then CLAP's."""
        heard_BNW = self.encoder(inputs.audio[AudioFeature.LOG_MEL])
        if self.config.tokens is Tokens.PER_TIME:
            cls_B1W, patches_BFPW = (
                heard_BNW[:, :1],
                heard_BNW[:, 1:].unflatten(1, self.encoder.grid),
            )
            heard_BNW = torch.cat([cls_B1W, patches_BFPW.mean(dim=1)], dim=1)
        tokens_BNC = self.project(heard_BNW)
        if self.clap_project is not None:
            clap_BD = inputs.audio[AudioFeature.CLAP_POOLED]
            clap_BNC = self.clap_project(clap_BD).unflatten(-1, (-1, self.shapes.context_dim))
            tokens_BNC = torch.cat([tokens_BNC, clap_BNC], dim=1)
        return self.norm(tokens_BNC) + self.position_NC

    def layers_by_path(self) -> dict[str, DecoupledKeyValue]:
        """The key and value layers by path of the block they sit in."""
        return {
            block.path: layer
            for block, layer in zip(self.shapes.blocks, self.layers, strict=True)
            if isinstance(layer, DecoupledKeyValue)
        }

    def processors(self) -> dict[str, AudioProcessor]:
        return {
            path: DecoupledAttention(layer, num_text_tokens=self.shapes.num_text_tokens)
            for path, layer in self.layers_by_path().items()
        }

    def gates(self) -> dict[str, nn.Parameter]:
        return {path: layer.gate.raw for path, layer in self.layers_by_path().items()}

    def gate_values(self) -> dict[str, float]:
        return {path: layer.gate().item() for path, layer in self.layers_by_path().items()}

    @classmethod
    def search_space(cls, trial: Any) -> dict[str, Any]:
        return {
            "tokens": trial.suggest_categorical("tokens", [option.value for option in Tokens]),
            "num_clap_tokens": trial.suggest_categorical("num_clap_tokens", [0, 1, 4, 8]),
            "gate_init": trial.suggest_float("gate_init", 0.02, 1.0, log=True),
            "adapt": trial.suggest_categorical("adapt", ["ssf", "lora"]),
        }
