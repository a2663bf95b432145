"""Cutting edge: a Mamba encoder hears the log-mel; its token sequence goes to the UNet.

Shape legend: B batch, N audio tokens, C context width, W encoder width, F patches along
frequency, P patches along time, D width of a pooled embedding.
"""

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.conditioning.attention import AudioProcessor, DecoupledAttention, DecoupledKeyValue
from core.conditioning.attention_variant import AttentionVariant
from core.conditioning.conditioning import AudioFeature, ConditioningInputs
from core.conditioning.shapes import FoundationShapes
from core.conditioning.ssf.parametrise import parametrise
from core.conditioning.ssf.tuner import can_follow
from core.errors import UsageError
from core.foundation.mamba.encoder import MambaAudioEncoder
from core.foundation.mamba.storage import load_weights
from core.foundation.sources import resolve_source
from variants.cutting_edge.codes import place_codes
from variants.cutting_edge.config import (
    CuttingEdgeConfig,
    EncoderAdapt,
    PooledAudio,
    Position,
    Tokens,
)

POOLED_FEATURES = {
    PooledAudio.CLAP: AudioFeature.CLAP_POOLED,
    PooledAudio.MSCLAP: AudioFeature.MSCLAP_POOLED,
}


class CuttingEdge(AttentionVariant):
    """Mamba encoder, decoupled gated keys and values in every block, SSF instead of LoRA."""

    name = "cutting_edge"
    summary = "Mamba encoder over the log-mel, decoupled gated keys and values, SSF on the UNet"
    Config = CuttingEdgeConfig

    no_weight_decay: ClassVar[tuple[str, ...]] = ("position_NC",)

    def __init__(self, config: CuttingEdgeConfig, *, shapes: FoundationShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.encoder = MambaAudioEncoder(config.encoder(log_mel=shapes.log_mel))
        num_bands, num_steps = self.encoder.grid
        num_heard = 1 + (num_steps if config.tokens is Tokens.PER_TIME else num_bands * num_steps)
        encoder_width = self.encoder.config.width
        self.pooled_feature = POOLED_FEATURES.get(config.audio)
        self.project = nn.Linear(encoder_width, shapes.context_dim)
        self.pooled_project = (
            nn.Linear(
                shapes.msclap_pooled_dim
                if config.audio is PooledAudio.MSCLAP
                else shapes.clap_pooled_dim,
                config.pooled_tokens * shapes.context_dim,
            )
            if self.pooled_feature is not None
            else None
        )
        self.norm = nn.LayerNorm(shapes.context_dim)
        self.position_NC = nn.Parameter(
            0.02 * torch.randn(num_heard + config.pooled_tokens, shapes.context_dim)
        )
        if config.position is Position.SINUSOIDAL:
            bands = 1 if config.tokens is Tokens.PER_TIME else num_bands
            with torch.no_grad():
                self.position_NC[1:num_heard] = place_codes(
                    bands, num_steps, width=shapes.context_dim
                )
        self.layers = nn.ModuleList(
            DecoupledKeyValue(block, context_dim=shapes.context_dim, gate_init=config.gate_init)
            for block in shapes.blocks
        )
        # On the meta device there is nothing to load into: parameters are only counted.
        if config.pretrained is not None and not self.position_NC.is_meta:
            load_weights(self.encoder, folder=pretrained_folder(config.pretrained))
        self._frozen_names = self._adapt_encoder()

    def _adapt_encoder(self) -> frozenset[str]:
        """Put SSF on the encoder where the config asks; returns the names of what stays."""
        if self.config.encoder_adapt is EncoderAdapt.FULL:
            return frozenset()
        own = {id(parameter) for parameter in self.encoder.parameters()}
        if self.config.encoder_adapt is EncoderAdapt.SSF:
            parametrise(self.encoder, paths=scale_shift_paths(self.encoder))
        frozen = {name: p for name, p in self.named_parameters() if id(p) in own}
        for parameter in frozen.values():
            parameter.requires_grad_(False)
        return frozenset(frozen)

    def frozen_parameters(self) -> dict[str, nn.Parameter]:
        named = dict(self.named_parameters())
        return {name: named[name] for name in sorted(self._frozen_names)}

    @property
    def is_identity_at_init(self) -> bool:
        return self.config.gate_init == 0

    @property
    def audio_features(self) -> frozenset[AudioFeature]:
        pooled = set() if self.pooled_feature is None else {self.pooled_feature}
        return frozenset({AudioFeature.LOG_MEL} | pooled)

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        """[B, N, C]: cls, the encoder's tokens in time order, then the pooled embedding's."""
        heard_BNW = self.encoder(inputs.audio[AudioFeature.LOG_MEL])
        if self.config.tokens is Tokens.PER_TIME:
            cls_B1W, patches_BFPW = (
                heard_BNW[:, :1],
                heard_BNW[:, 1:].unflatten(1, self.encoder.grid),
            )
            heard_BNW = torch.cat([cls_B1W, patches_BFPW.mean(dim=1)], dim=1)
        tokens_BNC = self.project(heard_BNW)
        if self.pooled_project is not None and self.pooled_feature is not None:
            pooled_BD = inputs.audio[self.pooled_feature]
            if self.config.audio is PooledAudio.MSCLAP:
                # Its wrapper does not normalise; both embeddings enter at length 1.
                pooled_BD = functional.normalize(pooled_BD, dim=-1)
            pooled_BNC = self.pooled_project(pooled_BD).unflatten(-1, (-1, self.shapes.context_dim))
            tokens_BNC = torch.cat([tokens_BNC, pooled_BNC], dim=1)
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
        return {path: factor.item() for path, factor in self.gate_factors().items()}

    def gate_factors(self) -> dict[str, Tensor]:
        return {path: layer.gate() for path, layer in self.layers_by_path().items()}

    @classmethod
    def search_space(cls, trial: Any) -> dict[str, Any]:
        audio = trial.suggest_categorical("audio", ["clap", "none"])
        pooled = None
        if audio == "clap":
            pooled = trial.suggest_categorical("num_pooled_tokens", [1, 4, 8])
        return {
            "tokens": trial.suggest_categorical("tokens", [option.value for option in Tokens]),
            "audio": audio,
            "num_pooled_tokens": pooled,
            "gate_init": trial.suggest_float("gate_init", 0.02, 1.0, log=True),
            "adapt": trial.suggest_categorical("adapt", ["ssf", "lora", "dora", "ia3"]),
        }


def scale_shift_paths(encoder: nn.Module) -> list[str]:
    """Every operation of the encoder that SSF can follow: projections, convolutions and norms."""
    return [path for path, module in encoder.named_modules() if can_follow(module)]


def pretrained_folder(name: str) -> Path:
    """The folder of a pretrained encoder.

    Raises:
        UsageError: it is neither a folder nor embedded:NAME.
    """
    source = resolve_source(name)
    if not source.is_folder:
        raise UsageError(
            f"pretrained '{name}' is not a folder; give the folder that `harness convert` wrote, "
            "or embedded:NAME"
        )
    return Path(source.location)
