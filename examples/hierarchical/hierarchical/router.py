"""From CLAP's moments to slots of three levels, and from the slots to tokens.

Shape legend: B clips, T moments (the pooled embedding is one more), S slots, V their width, which
is the UNet's context width, L tokens of the caption.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

_ANNEAL_RATE = 10.0
"""AdamW moves a parameter by about its learning rate each step; tenfold, 3,000 steps at 1e-4 are
three units of the log temperature, as far as from 1 to 0.05."""


class SoftAssignment(nn.Module):
    """Each moment divided among the slots by a softmax, at a temperature that training lowers.

    A slot holds the mean of the moments' values, weighted by what each gives to it. The temperature
    is a parameter in the graph, not a count of steps: a variant is not told the step, what it
    computes must be the same in training and in sampling, and a resumed run goes on bit for bit.
    """

    no_weight_decay: ClassVar[tuple[str, ...]] = ("slots_SV", "annealing")

    def __init__(self, width: int, *, num_slots: int, temperature_init: float) -> None:
        super().__init__()
        self.to_value = nn.Linear(width, width)
        self.to_key = nn.Linear(width, width)
        self.slots_SV = nn.Parameter(torch.randn(num_slots, width))
        self.annealing = nn.Parameter(torch.tensor(0.0))
        self.norm = nn.LayerNorm(width)
        self.log_init = math.log(temperature_init)

    @property
    def log_temperature(self) -> Tensor:
        """Natural logarithm of the temperature, a scalar."""
        return self.log_init + _ANNEAL_RATE * self.annealing

    def shares(self, moments_BTV: Tensor) -> Tensor:
        """[B, T, S] what each moment gives to each slot; adds up to 1 over slots."""
        fit_BTS = self.to_key(moments_BTV) @ self.slots_SV.mT / self.slots_SV.shape[1] ** 0.5
        return torch.softmax(fit_BTS / self.log_temperature.exp(), dim=-1)

    def forward(self, moments_BTV: Tensor) -> Tensor:
        """Slots [B, S, V]."""
        share_BTS = self.shares(moments_BTV)
        weight_BST = share_BTS.mT / share_BTS.sum(dim=1).clamp_min(1e-6)[..., None]
        return self.norm(weight_BST @ self.to_value(moments_BTV) + self.slots_SV)


class Expansion(nn.Module):
    """Transformer blocks in which L learned queries read the slots and one another."""

    no_weight_decay: ClassVar[tuple[str, ...]] = ("queries_LV",)

    def __init__(self, width: int, *, num_tokens: int, num_blocks: int, num_heads: int) -> None:
        super().__init__()
        self.queries_LV = nn.Parameter(torch.randn(num_tokens, width))
        self.blocks = nn.ModuleList(
            nn.TransformerDecoderLayer(
                width,
                num_heads,
                dim_feedforward=2 * width,
                dropout=0.0,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(num_blocks)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, slots_BSV: Tensor) -> Tensor:
        """Tokens [B, L, V] of unit deviation."""
        x_BLV = self.queries_LV.expand(len(slots_BSV), -1, -1)
        for block in self.blocks:
            x_BLV = block(x_BLV, slots_BSV)
        return self.norm(x_BLV)
