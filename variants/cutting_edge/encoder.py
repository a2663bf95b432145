"""A bidirectional Mamba encoder of log-mel spectrograms (Vision Mamba, arXiv 2401.09417; SSAMBA,
arXiv 2405.11831).

Shape legend: B batch, M mel bands, T frames, F patches along frequency, P patches along time,
L = 1 + F * P tokens with cls first, W width, E inner width, S state size, R rank of dt,
G = 2 directions, forward then backward.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.errors import UsageError
from variants.cutting_edge.selective_scan import selective_scan

# Step sizes of a fresh mixer spread log-uniformly over this range (Mamba, section 3.6).
DT_MIN, DT_MAX = 1e-3, 1e-1


class Direction(nn.Module):
    """What one scan direction owns: convolution, dt, B and C projections, A and D."""

    def __init__(self, inner_dim: int, *, state_dim: int, conv_width: int, dt_rank: int) -> None:
        super().__init__()
        self.conv1d = nn.Conv1d(inner_dim, inner_dim, conv_width, groups=inner_dim)
        self.x_proj = nn.Linear(inner_dim, dt_rank + 2 * state_dim, bias=False)
        self.dt_proj = nn.Linear(dt_rank, inner_dim)
        rates_ES = torch.arange(1, state_dim + 1, dtype=torch.float32).expand(inner_dim, -1)
        self.A_log = nn.Parameter(rates_ES.log().clone())
        self.D = nn.Parameter(torch.ones(inner_dim))
        nn.init.uniform_(self.dt_proj.weight, -(dt_rank**-0.5), dt_rank**-0.5)
        log_dt_E = torch.empty(inner_dim).uniform_(math.log(DT_MIN), math.log(DT_MAX))
        with torch.no_grad():
            # The inverse of softplus, so that softplus(bias) is the step size drawn.
            self.dt_proj.bias.copy_(log_dt_E.exp().expm1().log())


class BidirectionalMixer(nn.Module):
    """Vim's v2 mixer: y = (Mixer_f(x) + flip(Mixer_b(flip(x)))) / 2, projections shared.

    Both directions run in one scan.
    """

    def __init__(self, width: int, *, state_dim: int, conv_width: int, expand: int) -> None:
        super().__init__()
        inner_dim = expand * width
        self.dt_rank = math.ceil(width / 16)
        self.state_dim = state_dim
        self.in_proj = nn.Linear(width, 2 * inner_dim, bias=False)
        self.out_proj = nn.Linear(inner_dim, width, bias=False)
        self.directions = nn.ModuleList(
            Direction(inner_dim, state_dim=state_dim, conv_width=conv_width, dt_rank=self.dt_rank)
            for _ in range(2)
        )

    def forward(self, x_BLW: Tensor) -> Tensor:
        """[B, L, W]; every output sees every input."""
        x_BLE, gate_BLE = self.in_proj(x_BLW).chunk(2, dim=-1)
        x_GBLE = functional.silu(self._convolve(torch.stack([x_BLE, x_BLE.flip(1)])))
        dt_B_C = torch.matmul(x_GBLE, self._stacked("x_proj.weight").mT[:, None])
        dt_GBLR, B_GBLS, C_GBLS = dt_B_C.split(
            [self.dt_rank, self.state_dim, self.state_dim], dim=-1
        )
        dt_GBLE = torch.matmul(dt_GBLR, self._stacked("dt_proj.weight").mT[:, None])
        y_GBLE = selective_scan(
            x_GBLE,
            dt_GBLE=functional.softplus(dt_GBLE + self._stacked("dt_proj.bias")[:, None, None]),
            A_GES=-torch.exp(self._stacked("A_log").float()),
            B_GBLS=B_GBLS,
            C_GBLS=C_GBLS,
            D_GE=self._stacked("D"),
        )
        y_BLE = (y_GBLE[0] + y_GBLE[1].flip(1)) / 2
        return self.out_proj(y_BLE * functional.silu(gate_BLE))

    def _stacked(self, name: str) -> Tensor:
        """[G, ...] of a parameter that each direction owns."""
        return torch.stack([direction.get_parameter(name) for direction in self.directions])

    def _convolve(self, x_GBLE: Tensor) -> Tensor:
        """Causal depthwise convolution of each direction along L."""
        num_groups, num_rows, num_steps, inner_dim = x_GBLE.shape
        weight_GEK = self._stacked("conv1d.weight").flatten(0, 1)
        x_BEL = x_GBLE.permute(1, 0, 3, 2).flatten(1, 2)
        padded = functional.pad(x_BEL, (weight_GEK.shape[-1] - 1, 0))
        y_BEL = functional.conv1d(
            padded,
            weight_GEK,
            self._stacked("conv1d.bias").flatten(),
            groups=num_groups * inner_dim,
        )
        return y_BEL.view(num_rows, num_groups, inner_dim, num_steps).permute(1, 0, 3, 2)


class MambaBlock(nn.Module):
    """x + Mixer(LayerNorm(x))."""

    def __init__(self, width: int, *, state_dim: int, conv_width: int, expand: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mixer = BidirectionalMixer(
            width, state_dim=state_dim, conv_width=conv_width, expand=expand
        )

    def forward(self, x_BLW: Tensor) -> Tensor:
        return x_BLW + self.mixer(self.norm(x_BLW))


class MambaAudioEncoder(nn.Module):
    """Normalised log-mel [B, M, T] to tokens [B, 1 + F * P, W]: cls, then frequency-major patches.

    patch: (mel bands, frames) of a patch; patches do not overlap.

    Raises:
        UsageError: the spectrogram is not a whole number of patches.
    """

    def __init__(
        self,
        log_mel: tuple[int, int],
        *,
        patch: tuple[int, int],
        width: int,
        depth: int,
        state_dim: int,
        conv_width: int,
        expand: int,
    ) -> None:
        super().__init__()
        if log_mel[0] % patch[0] or log_mel[1] % patch[1]:
            raise UsageError(
                f"patches of {patch[0]} mel bands x {patch[1]} frames do not tile a spectrogram of "
                f"{log_mel[0]} x {log_mel[1]}; choose divisors of both"
            )
        self.grid = (log_mel[0] // patch[0], log_mel[1] // patch[1])
        num_tokens = 1 + self.grid[0] * self.grid[1]
        self.patch_embed = nn.Conv2d(1, width, kernel_size=patch, stride=patch)
        self.cls_W = nn.Parameter(0.02 * torch.randn(width))
        self.position_LW = nn.Parameter(0.02 * torch.randn(num_tokens, width))
        self.blocks = nn.ModuleList(
            MambaBlock(width, state_dim=state_dim, conv_width=conv_width, expand=expand)
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        # Each block adds to the stream; without this its variance would grow with depth (GPT-2).
        for name, parameter in self.named_parameters():
            if name.endswith("out_proj.weight"):
                with torch.no_grad():
                    parameter.div_(math.sqrt(depth))

    def forward(self, log_mel_BMT: Tensor) -> Tensor:
        patches_BLW = self.patch_embed(log_mel_BMT[:, None]).flatten(2).transpose(1, 2)
        cls_B1W = self.cls_W.expand(len(patches_BLW), 1, -1)
        x_BLW = torch.cat([cls_B1W, patches_BLW], dim=1) + self.position_LW
        for block in self.blocks:
            x_BLW = block(x_BLW)
        return self.norm(x_BLW)
