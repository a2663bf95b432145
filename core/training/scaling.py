"""Loss scaling for float16, whose gradients would vanish below 6e-8 (Micikevicius et al. 2018).

The loss is multiplied before the backward pass and the gradients divided after it. Where one of
them is not finite the step is skipped and the scale halved; after a while without it is doubled.
Everything stays on the device: nothing here waits for it.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

START = 2.0**16
LARGEST = 2.0**24
GROWTH_INTERVAL = 2000
"""Steps in a row without an overflow after which the scale is doubled."""


class LossScaler:
    """The scale, the steps since it last changed, and the steps that were skipped."""

    def __init__(self, *, device: torch.device) -> None:
        self.scale = torch.full((), START, device=device)
        self.num_good = torch.zeros((), device=device)
        self.num_skipped = torch.zeros((), device=device)

    def scaled(self, loss: Tensor) -> Tensor:
        """The loss to differentiate."""
        return loss * self.scale

    def unscale_(self, parameters: Iterable[nn.Parameter]) -> None:
        """Divide the gradients by the scale, a power of two, so that no bit of theirs is lost."""
        inverse = self.scale.reciprocal()
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.mul_(inverse)

    def update_(self, is_finite: Tensor) -> None:
        """Note whether the step was applied, and choose the scale of the next one."""
        num_good = torch.where(is_finite, self.num_good + 1, torch.zeros_like(self.num_good))
        is_grown = num_good >= GROWTH_INTERVAL
        grown = torch.where(is_grown, (2 * self.scale).clamp(max=LARGEST), self.scale)
        self.scale.copy_(torch.where(is_finite, grown, self.scale / 2))
        self.num_good.copy_(torch.where(is_grown, torch.zeros_like(num_good), num_good))
        self.num_skipped.add_((~is_finite).to(self.num_skipped.dtype))

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint holds of it."""
        return {
            "scale": self.scale.clone(),
            "num_good": self.num_good.clone(),
            "num_skipped": self.num_skipped.clone(),
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave."""
        self.scale.copy_(tensors["scale"])
        self.num_good.copy_(tensors["num_good"])
        self.num_skipped.copy_(tensors["num_skipped"])
