"""A check that a branch's parameters can be trained at all, before they reach a device."""

import torch
from torch import nn

from core.conditioning.variant import Variant
from core.errors import GuardError

_TRAINED = (torch.float32, torch.float64)


def check_built(variant: Variant) -> None:
    """Raises GuardError naming a parameter without size or data, of a type or with values that no
    optimiser can train."""
    frozen = variant.frozen_parameters()
    for name, parameter in variant.named_parameters():
        if isinstance(parameter, nn.UninitializedParameter):
            raise GuardError(
                f"parameter {name} has no size yet, as in a LazyLinear: give its sizes, which "
                "follow from config and shapes"
            )
        if parameter.is_meta:
            raise GuardError(
                f"parameter {name} has no values: it was made on the meta device. Build it on the "
                "device that is current"
            )
        if name not in frozen and parameter.dtype not in _TRAINED:
            raise GuardError(
                f"parameter {name} is {str(parameter.dtype).removeprefix('torch.')}; trained "
                "weights are float32, whatever the run computes in. A constant is a buffer"
            )
        if not bool(torch.isfinite(parameter).all()):
            raise GuardError(
                f"parameter {name} holds NaN or infinity before the first step: torch.empty is "
                "not filled, or an initialisation divides by zero"
            )
