"""Sonic: audio gets a gated cross-attention of its own beside the text's.

After SonicDiffusion (arXiv 2405.00878): `h = h + f * tanh(g) * Attn(LayerNorm(h), audio)` after
attn2 and before the feed-forward of a transformer block.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from core.conditioning.attention import (
    AudioProcessor,
    GatedCrossAttention,
    GatedResidualAttention,
)
from core.conditioning.attention_variant import AttentionVariant
from core.conditioning.conditioning import AudioFeature, Conditioning, ConditioningInputs
from core.conditioning.shapes import FoundationShapes
from variants.sonic.config import DEFAULT_HIDDEN_DIM, DEFAULT_TOKENS, Layers, Projector, SonicConfig
from variants.sonic.losses import caption_token_loss, contrastive_loss
from variants.sonic.paper import PaperProjector
from variants.sonic.projectors import four_mlp, matched_mlp


class Sonic(AttentionVariant):
    """Parallel MLPs to 8 tokens; every block listens through its own gated attention."""

    name = "sonic"
    summary = "CLAP embedding through four MLPs to 8 tokens, gated audio cross-attention in blocks"
    Config = SonicConfig

    def __init__(self, config: SonicConfig, *, shapes: FoundationShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.projector = build_projector(config, shapes=shapes)
        self.listening = tuple(
            block
            for block in shapes.blocks
            if config.layers is Layers.ALL or block.section in ("mid", "up")
        )
        self.layers = nn.ModuleList(
            GatedCrossAttention(block, context_dim=shapes.context_dim, gate_init=config.gate_init)
            for block in self.listening
        )

    @property
    def is_identity_at_init(self) -> bool:
        return self.config.gate_init == 0

    @property
    def audio_features(self) -> frozenset[AudioFeature]:
        return frozenset({AudioFeature.CLAP_POOLED})

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        return self.projector(inputs.audio[AudioFeature.CLAP_POOLED])

    def layers_by_path(self) -> dict[str, GatedCrossAttention]:
        """The gated layers by path of the block they sit in."""
        return {
            block.path: layer
            for block, layer in zip(self.listening, self.layers, strict=True)
            if isinstance(layer, GatedCrossAttention)
        }

    def processors(self) -> dict[str, AudioProcessor]:
        return {
            path: GatedResidualAttention(layer, num_text_tokens=self.shapes.num_text_tokens)
            for path, layer in self.layers_by_path().items()
        }

    def gates(self) -> dict[str, nn.Parameter]:
        return {path: layer.gate.raw for path, layer in self.layers_by_path().items()}

    def gate_values(self) -> dict[str, float]:
        return {path: factor.item() for path, factor in self.gate_factors().items()}

    def gate_factors(self) -> dict[str, Tensor]:
        return {path: layer.gate() for path, layer in self.layers_by_path().items()}

    def auxiliary_losses(
        self, inputs: ConditioningInputs, conditioning: Conditioning, *, stage: str
    ) -> Mapping[str, Tensor]:
        """Stage 1's InfoNCE and caption error.

        They read the class and the caption to shape the projector in training; what the UNet is
        conditioned on never depends on the class index.
        """
        if stage != "stage1" or conditioning.audio_BNC is None:
            return {}
        losses = {}
        if self.config.contrastive_weight > 0:
            losses["contrastive"] = self.config.contrastive_weight * contrastive_loss(
                conditioning.audio_BNC,
                text_BLC=inputs.text_BLC,
                class_index_B=inputs.class_index_B,
                temperature=self.config.temperature,
            )
        if self.config.caption_weight > 0:
            losses["caption"] = self.config.caption_weight * caption_token_loss(
                conditioning.audio_BNC, text_BLC=inputs.text_BLC
            )
        return losses

    def has_auxiliary_losses(self, stage: str) -> bool:
        weights = (self.config.contrastive_weight, self.config.caption_weight)
        return stage == "stage1" and max(weights) > 0

    @classmethod
    def search_space(cls, trial: Any) -> dict[str, Any]:
        projector = trial.suggest_categorical("projector", [p.value for p in Projector])
        num_tokens = None
        if projector != Projector.PAPER:
            num_tokens = trial.suggest_categorical("num_tokens", [4, 8, 16])
        # A profile may have set the MLPs' hidden width, which paper does not read.
        unread = {"hidden_dim": None} if projector == Projector.PAPER else {}
        return {
            "projector": projector,
            "num_tokens": num_tokens,
            **unread,
            "layers": trial.suggest_categorical("layers", [option.value for option in Layers]),
            "gate_init": trial.suggest_float("gate_init", 0.02, 0.5, log=True),
            "contrastive_weight": trial.suggest_float("contrastive_weight", 0.0, 0.1),
            "caption_weight": trial.suggest_float("caption_weight", 0.0, 0.1),
        }


def build_projector(config: SonicConfig, *, shapes: FoundationShapes) -> nn.Module:
    """The network of the settings from a pooled embedding [B, D] to tokens [B, N, C]."""
    if config.projector is Projector.PAPER:
        return PaperProjector(
            shapes.clap_pooled_dim,
            num_tokens=shapes.num_text_tokens,
            context_dim=shapes.context_dim,
        )
    build = four_mlp if config.projector is Projector.FOUR_MLP else matched_mlp
    return build(
        shapes.clap_pooled_dim,
        hidden_dim=config.hidden_dim or DEFAULT_HIDDEN_DIM,
        num_tokens=config.num_tokens or DEFAULT_TOKENS,
        context_dim=shapes.context_dim,
    )
