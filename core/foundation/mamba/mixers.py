"""Bidirectional Mamba mixers (Vision Mamba, arXiv 2401.09417, and its released code).

Each reads and returns [B, L, W]; every output sees every input. What a direction owns lies in
`directions`, forward first. Modules read `.weight` of their parts directly, so an adapter has to
replace the tensor (`torch.nn.utils.parametrize`), not wrap the module.

Shape legend: B batch, L tokens, W width, E inner width, S state size, R rank of dt, H heads,
P channels of a head, G = 2 directions, forward then backward.
"""

import math
from collections.abc import Iterable
from functools import reduce
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.foundation.mamba.config import Block, MambaEncoderConfig
from core.foundation.mamba.selective_scan import selective_scan
from core.foundation.mamba.ssd import chunked_scan

# Step sizes of a fresh mixer spread log-uniformly over this range (Mamba, section 3.6).
DT_MIN, DT_MAX = 1e-3, 1e-1


def fresh_dt_bias(num: int) -> Tensor:
    """[num] biases whose softplus is a step size drawn from the range."""
    log_dt = torch.empty(num).uniform_(math.log(DT_MIN), math.log(DT_MAX))
    return log_dt.exp().expm1().log()


def fresh_log_rates(inner_dim: int, *, state_dim: int) -> Tensor:
    """[E, S] logarithms of the rates 1 to S (S4D-real, Mamba section 3.6)."""
    rates_ES = torch.arange(1, state_dim + 1, dtype=torch.float32).expand(inner_dim, -1)
    return rates_ES.log().clone()


def stacked(directions: Iterable[Any], *path: str) -> Tensor:
    """[G, ...] of a tensor that each direction owns, parametrised or not."""
    return torch.stack([reduce(getattr, path, direction) for direction in directions])


def convolve(x_GBLE: Tensor, *, weight_GE1K: Tensor, bias_GE: Tensor) -> Tensor:
    """Causal depthwise convolution along L, each group with its own weights."""
    num_groups, num_rows, num_steps, inner_dim = x_GBLE.shape
    weight_E1K = weight_GE1K.flatten(0, 1)
    x_BEL = x_GBLE.permute(1, 0, 3, 2).flatten(1, 2)
    padded = functional.pad(x_BEL, (weight_E1K.shape[-1] - 1, 0))
    y_BEL = functional.conv1d(padded, weight_E1K, bias_GE.flatten(), groups=num_groups * inner_dim)
    return y_BEL.view(num_rows, num_groups, inner_dim, num_steps).permute(1, 0, 3, 2)


class Direction(nn.Module):
    """What one scan direction owns: convolution, dt, B and C projections, A and D."""

    no_weight_decay: ClassVar[tuple[str, ...]] = ("A_log", "D")

    def __init__(self, inner_dim: int, *, state_dim: int, conv_width: int, dt_rank: int) -> None:
        super().__init__()
        self.conv1d = nn.Conv1d(inner_dim, inner_dim, conv_width, groups=inner_dim)
        self.x_proj = nn.Linear(inner_dim, dt_rank + 2 * state_dim, bias=False)
        self.dt_proj = nn.Linear(dt_rank, inner_dim)
        self.A_log = nn.Parameter(fresh_log_rates(inner_dim, state_dim=state_dim))
        self.D = nn.Parameter(torch.ones(inner_dim))
        nn.init.uniform_(self.dt_proj.weight, -(dt_rank**-0.5), dt_rank**-0.5)
        with torch.no_grad():
            self.dt_proj.bias.copy_(fresh_dt_bias(inner_dim))


class MixerV2(nn.Module):
    """y = (Mixer_f(x) + flip(Mixer_b(flip(x)))) / 2; in_proj and out_proj are shared.

    Both directions run in one scan.
    """

    def __init__(self, config: MambaEncoderConfig) -> None:
        super().__init__()
        self.dt_rank = math.ceil(config.width / 16)
        self.state_dim = config.state_dim
        self.in_proj = nn.Linear(config.width, 2 * config.inner_dim, bias=False)
        self.out_proj = nn.Linear(config.inner_dim, config.width, bias=False)
        self.directions = nn.ModuleList(
            Direction(
                config.inner_dim,
                state_dim=config.state_dim,
                conv_width=config.conv_width,
                dt_rank=self.dt_rank,
            )
            for _ in range(2)
        )

    def forward(self, x_BLW: Tensor) -> Tensor:
        x_BLE, gate_BLE = self.in_proj(x_BLW).chunk(2, dim=-1)
        x_GBLE = functional.silu(
            convolve(
                torch.stack([x_BLE, x_BLE.flip(1)]),
                weight_GE1K=stacked(self.directions, "conv1d", "weight"),
                bias_GE=stacked(self.directions, "conv1d", "bias"),
            )
        )
        dt_B_C = torch.matmul(x_GBLE, stacked(self.directions, "x_proj", "weight").mT[:, None])
        dt_GBLR, B_GBLS, C_GBLS = dt_B_C.split(
            [self.dt_rank, self.state_dim, self.state_dim], dim=-1
        )
        dt_GBLE = torch.matmul(dt_GBLR, stacked(self.directions, "dt_proj", "weight").mT[:, None])
        dt_bias_GE = stacked(self.directions, "dt_proj", "bias")
        y_GBLE = selective_scan(
            x_GBLE,
            dt_GBLE=functional.softplus(dt_GBLE + dt_bias_GE[:, None, None]),
            A_GES=-torch.exp(stacked(self.directions, "A_log").float()),
            B_GBLS=B_GBLS,
            C_GBLS=C_GBLS,
            D_GE=stacked(self.directions, "D"),
        )
        y_BLE = (y_GBLE[0] + y_GBLE[1].flip(1)) / 2
        return self.out_proj(y_BLE * functional.silu(gate_BLE))


class MixerV1(nn.Module):
    """One convolution and projection for both directions, scanned either way; A alone is apart.

    The scans are added, not averaged, and D counts in both, as the released code has it.
    """

    no_weight_decay: ClassVar[tuple[str, ...]] = ("A_b_log",)

    def __init__(self, config: MambaEncoderConfig) -> None:
        super().__init__()
        self.dt_rank = math.ceil(config.width / 16)
        self.state_dim = config.state_dim
        self.in_proj = nn.Linear(config.width, 2 * config.inner_dim, bias=False)
        self.out_proj = nn.Linear(config.inner_dim, config.width, bias=False)
        self.shared = Direction(
            config.inner_dim,
            state_dim=config.state_dim,
            conv_width=config.conv_width,
            dt_rank=self.dt_rank,
        )
        self.A_b_log = nn.Parameter(fresh_log_rates(config.inner_dim, state_dim=config.state_dim))

    def forward(self, x_BLW: Tensor) -> Tensor:
        shared = self.shared
        x_BLE, gate_BLE = self.in_proj(x_BLW).chunk(2, dim=-1)
        x_BLE = functional.silu(
            convolve(
                x_BLE[None],
                weight_GE1K=stacked([shared], "conv1d", "weight"),
                bias_GE=stacked([shared], "conv1d", "bias"),
            )[0]
        )
        dt_BLR, B_BLS, C_BLS = shared.x_proj(x_BLE).split(
            [self.dt_rank, self.state_dim, self.state_dim], dim=-1
        )
        dt_BLE = functional.softplus(shared.dt_proj(dt_BLR))
        y_GBLE = selective_scan(
            _both_ways(x_BLE),
            dt_GBLE=_both_ways(dt_BLE),
            A_GES=-torch.exp(torch.stack([shared.A_log, self.A_b_log]).float()),
            B_GBLS=_both_ways(B_BLS),
            C_GBLS=_both_ways(C_BLS),
            D_GE=shared.D.expand(2, -1),
        )
        y_BLE = y_GBLE[0] + y_GBLE[1].flip(1)
        return self.out_proj(y_BLE * functional.silu(gate_BLE))


class Mamba2Direction(nn.Module):
    """What one direction of a Mamba-2 mixer owns: convolution, A, D and the step sizes' bias."""

    no_weight_decay: ClassVar[tuple[str, ...]] = ("A_log", "D", "dt_bias")

    def __init__(self, conv_dim: int, *, num_heads: int, conv_width: int) -> None:
        super().__init__()
        self.conv1d = nn.Conv1d(conv_dim, conv_dim, conv_width, groups=conv_dim)
        # Rates uniform in 1 to 16, as Mamba-2's released code draws them.
        self.A_log = nn.Parameter(torch.empty(num_heads).uniform_(1, 16).log())
        self.D = nn.Parameter(torch.ones(num_heads))
        self.dt_bias = nn.Parameter(fresh_dt_bias(num_heads))


class Mamba2Mixer(nn.Module):
    """v2's sharing around Mamba-2 (arXiv 2405.21060): in_proj, gated norm and out_proj are shared.

    y = (Mixer_f(x) + flip(Mixer_b(flip(x)))) / 2 with Mamba-2 mixers of one group of heads. Runs
    in torch on every device.
    """

    def __init__(self, config: MambaEncoderConfig) -> None:
        super().__init__()
        self.inner_dim = config.inner_dim
        self.state_dim = config.state_dim
        self.head_dim = config.num_head_channels
        self.num_heads = config.inner_dim // self.head_dim
        self.conv_dim = config.inner_dim + 2 * config.state_dim
        in_dim = config.inner_dim + self.conv_dim + self.num_heads
        self.in_proj = nn.Linear(config.width, in_dim, bias=False)
        self.out_proj = nn.Linear(config.inner_dim, config.width, bias=False)
        self.norm = nn.RMSNorm(config.inner_dim, eps=1e-5)
        self.directions = nn.ModuleList(
            Mamba2Direction(self.conv_dim, num_heads=self.num_heads, conv_width=config.conv_width)
            for _ in range(2)
        )

    def forward(self, x_BLW: Tensor) -> Tensor:
        gate_BLE, mixed, dt_BLH = self.in_proj(x_BLW).split(
            [self.inner_dim, self.conv_dim, self.num_heads], dim=-1
        )
        mixed = functional.silu(
            convolve(
                _both_ways(mixed),
                weight_GE1K=stacked(self.directions, "conv1d", "weight"),
                bias_GE=stacked(self.directions, "conv1d", "bias"),
            )
        )
        x_GBLE, B_GBLS, C_GBLS = mixed.split(
            [self.inner_dim, self.state_dim, self.state_dim], dim=-1
        )
        dt_bias_GH = stacked(self.directions, "dt_bias")
        y_GBLHP = chunked_scan(
            x_GBLE.unflatten(-1, (self.num_heads, self.head_dim)),
            dt_GBLH=functional.softplus(_both_ways(dt_BLH) + dt_bias_GH[:, None, None]),
            A_GH=-torch.exp(stacked(self.directions, "A_log").float()),
            B_GBLS=B_GBLS,
            C_GBLS=C_GBLS,
            D_GH=stacked(self.directions, "D"),
        )
        y_GBLE = y_GBLHP.flatten(-2) * functional.silu(_both_ways(gate_BLE))
        # Autocast leaves RMSNorm in the input's precision, too coarse for a mean of squares.
        y_GBLE = self.norm(y_GBLE.to(self.norm.weight.dtype))
        return self.out_proj((y_GBLE[0] + y_GBLE[1].flip(1)) / 2)


def _both_ways(x_BL_: Tensor) -> Tensor:
    """[G, B, L, ...]: the sequence, and the sequence from its end."""
    return torch.stack([x_BL_, x_BL_.flip(1)])


MIXERS: dict[Block, type[MixerV1] | type[MixerV2] | type[Mamba2Mixer]] = {
    Block.V1: MixerV1,
    Block.V2: MixerV2,
    Block.MAMBA2: Mamba2Mixer,
}


def has_scans(module: nn.Module) -> bool:
    """Whether anything in it is computed by `selective_scan`; a Mamba-2 mixer is not."""
    return any(isinstance(part, MixerV1 | MixerV2) for part in module.modules())
