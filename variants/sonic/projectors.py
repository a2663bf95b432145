"""Projectors from a pooled CLAP embedding to audio tokens.

Shape legend: B batch, D CLAP width, N audio tokens, C context width.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn


def _mlp(in_dim: int, *, hidden_dim: int, out_dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(in_dim, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, out_dim))


class TokenProjector(nn.Module):
    """MLPs side by side, then LayerNorm per token and a learned position.

    mlps: each gives num_tokens / len(mlps) tokens.
    """

    no_weight_decay: ClassVar[tuple[str, ...]] = ("position_NC",)

    def __init__(self, mlps: list[nn.Sequential], *, num_tokens: int, context_dim: int) -> None:
        super().__init__()
        self.mlps = nn.ModuleList(mlps)
        self.norm = nn.LayerNorm(context_dim)
        self.position_NC = nn.Parameter(0.02 * torch.randn(num_tokens, context_dim))

    def forward(self, clap_BD: Tensor) -> Tensor:
        """Audio tokens [B, N, C]."""
        flat = torch.cat([mlp(clap_BD) for mlp in self.mlps], dim=-1)
        tokens_BNC = flat.unflatten(-1, self.position_NC.shape)
        return self.norm(tokens_BNC) + self.position_NC


NUM_PARALLEL = 4


def four_mlp(
    clap_dim: int, *, hidden_dim: int, num_tokens: int, context_dim: int
) -> TokenProjector:
    """Four parallel MLPs, a quarter of the tokens each (the user's plan).

    All four read the same vector, so they know no more than one MLP would: `matched_mlp` is the
    control.
    """
    out_dim = num_tokens // NUM_PARALLEL * context_dim
    mlps = [_mlp(clap_dim, hidden_dim=hidden_dim, out_dim=out_dim) for _ in range(NUM_PARALLEL)]
    return TokenProjector(mlps, num_tokens=num_tokens, context_dim=context_dim)


def matched_mlp(
    clap_dim: int, *, hidden_dim: int, num_tokens: int, context_dim: int
) -> TokenProjector:
    """One MLP to all tokens, as many parameters as the four to within half a hidden unit."""
    out_dim = num_tokens * context_dim
    # A hidden unit costs its input weights, its bias and its output weights.
    four = NUM_PARALLEL * hidden_dim * (clap_dim + 1 + out_dim // NUM_PARALLEL)
    matched_dim = round(four / (clap_dim + 1 + out_dim))
    mlp = _mlp(clap_dim, hidden_dim=matched_dim, out_dim=out_dim)
    return TokenProjector([mlp], num_tokens=num_tokens, context_dim=context_dim)
