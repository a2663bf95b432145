"""Gates: the learnable factors through which audio enters a frozen UNet.

Both keep one raw scalar without bounds, so that any optimiser step is a legal one, and squash
it on use. They are modules rather than bare parameters because a parameter object can be
replaced (loading with `assign`, moving from the meta device) while its module stays.
"""

import math

import torch
from torch import Tensor, nn


class TanhGate(nn.Module):
    """Factor tanh(g) in (-1, 1); g = 0 shuts the audio path exactly.

    The gradient reaches g even where g is 0, but what lies behind the gate gets none there.
    """

    def __init__(self, init: float) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.tensor(float(init)))

    def forward(self) -> Tensor:
        """tanh(g), a scalar."""
        return torch.tanh(self.raw)


class SigmoidGate(nn.Module):
    """Factor sigmoid(a) in (0, 1), for weights that must stay positive.

    init: the factor at the start, not a. a = -inf is legal, gives exactly 0 and no NaN.

    Raises:
        ValueError: init is not strictly between 0 and 1.
    """

    def __init__(self, init: float) -> None:
        super().__init__()
        if not 0.0 < init < 1.0:
            raise ValueError(f"a sigmoid gate starts strictly between 0 and 1, got {init}")
        self.raw = nn.Parameter(torch.tensor(math.log(init / (1.0 - init))))

    def forward(self) -> Tensor:
        """sigmoid(a), a scalar."""
        return torch.sigmoid(self.raw)
