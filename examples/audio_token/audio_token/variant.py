"""One token of the sound among those of the text (after AudioToken, Yariv et al. 2023).

Two layers and attentive pooling turn the sound's sequence into one token, which the UNet reads as
one more of the text's, in the text's own softmax and through the frozen keys and values. As there,
the token is drawn towards the label's embedding and kept short (arXiv 2305.13050, section 2.2).

We depart in three points. The sequence is CLAP's, not BEATs': the harness gives every branch the
same encoder. The token joins after the text encoder, not before it: texts are encoded once, ahead
of training. It is drawn towards the mean of the caption's tokens there.

Shape legend: B clips, T moments, D width of CLAP's sequence, L text tokens, C context width.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from audio_token.config import AudioTokenConfig
from core.conditioning.attention import AudioProcessor, JointAttention
from core.conditioning.attention_variant import AttentionVariant
from core.conditioning.conditioning import AudioFeature, Conditioning, ConditioningInputs
from core.conditioning.shapes import FoundationShapes


class Open(nn.Module):
    """A gate that is not one: the token weighs what its key says, as a word does."""

    def forward(self) -> Tensor:
        """1, a scalar."""
        return torch.tensor(1.0)


class Embedder(nn.Module):
    """[B, C] one token of each clip from its sequence [B, T, D]."""

    def __init__(self, *, width: int, hidden_dim: int, context_dim: int) -> None:
        super().__init__()
        self.moments = nn.Sequential(
            nn.Linear(width, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, context_dim)
        )
        self.score = nn.Linear(context_dim, 1)

    def forward(self, sequence_BTD: Tensor) -> Tensor:
        moments_BTC = self.moments(sequence_BTD)
        share_BT1 = self.score(torch.tanh(moments_BTC)).softmax(dim=1)
        return (share_BT1 * moments_BTC).sum(dim=1)


class AudioToken(AttentionVariant):
    """One token of the sound, no gate."""

    name = "audio_token"
    summary = "CLAP's sequence pooled to one token among the text's (after AudioToken)"
    Config = AudioTokenConfig

    def __init__(self, config: AudioTokenConfig, *, shapes: FoundationShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.embedder = Embedder(
            width=shapes.clap_sequence[1],
            hidden_dim=config.hidden_dim,
            context_dim=shapes.context_dim,
        )

    @property
    def audio_features(self) -> frozenset[AudioFeature]:
        return frozenset({AudioFeature.CLAP_SEQUENCE})

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        """[B, 1, C] from CLAP's sequence alone."""
        return self.embedder(inputs.audio[AudioFeature.CLAP_SEQUENCE])[:, None]

    def auxiliary_losses(
        self, inputs: ConditioningInputs, conditioning: Conditioning, *, stage: str
    ) -> dict[str, Tensor]:
        """What keeps the token near the caption and short, in every stage."""
        token_BC = conditioning.audio_BNC[:, 0]
        losses = {}
        if self.config.cosine_weight:
            caption_BC = inputs.text_BLC.mean(dim=1).to(token_BC.dtype)
            cosine = functional.cosine_similarity(token_BC, caption_BC, dim=-1).mean()
            losses["cosine"] = self.config.cosine_weight * (1 - cosine) ** 2
        if self.config.length_weight:
            losses["length"] = self.config.length_weight * token_BC.square().mean()
        return losses

    def processors(self) -> dict[str, AudioProcessor]:
        return {
            block.path: JointAttention(Open(), num_text_tokens=self.shapes.num_text_tokens)
            for block in self.shapes.blocks
        }

    def gates(self) -> dict[str, nn.Parameter]:
        return {}

    def gate_values(self) -> dict[str, float]:
        return {}

    @classmethod
    def search_space(cls, trial: Any) -> dict[str, Any]:
        return {
            "hidden_dim": trial.suggest_categorical("hidden_dim", [256, 768, 2304]),
            "cosine_weight": trial.suggest_float("cosine_weight", 0.0, 0.1),
            "length_weight": trial.suggest_float("length_weight", 0.0, 1e-3),
        }
