"""Scaling and shifting the output of one operation (SSF, Lian et al. 2022, eq. 3)."""

from enum import StrEnum
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from core.errors import GuardError, MismatchError

_CHANNELS_FIRST = (nn.Conv2d, nn.GroupNorm)
_CHANNELS_LAST = (nn.Linear, nn.LayerNorm)
_ATTENTION_LINEARS = ("to_q", "to_k", "to_v", "to_out.0")


class SsfScope(StrEnum):
    """The operations of a UNet that SSF follows."""

    CROSS_ATTENTION = "attn2"  # q, k, v and output projections of the cross-attentions
    ATTENTION = "attn1+attn2"  # the same of both attentions
    ALL = "all"  # every linear, convolution and normalisation


def scale_shift_targets(unet: nn.Module, *, scope: SsfScope) -> dict[str, nn.Module]:
    """The operations in `scope`, by module path, in module order."""
    if scope is SsfScope.ALL:
        return {
            path: module
            for path, module in unet.named_modules()
            if isinstance(module, _CHANNELS_FIRST + _CHANNELS_LAST)
        }
    attentions = ("attn2",) if scope is SsfScope.CROSS_ATTENTION else ("attn1", "attn2")
    endings = tuple(f".{attn}.{linear}" for attn in attentions for linear in _ATTENTION_LINEARS)
    return {path: module for path, module in unet.named_modules() if path.endswith(endings)}


class ScaleShift(nn.Module):
    """gamma and beta after one module, by a forward hook; float32, exactly 1 and 0 at the start.

    It is not a child of the module it follows, so the UNet's state dict does not change.

    Raises:
        MismatchError: the module has no weight to merge into, or a kind SSF does not know.
        GuardError: the module has a ScaleShift already.
    """

    _mark = "_scale_shift"

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        if not isinstance(module, _CHANNELS_FIRST + _CHANNELS_LAST) or module.weight is None:
            raise MismatchError(
                f"SSF follows linear, conv and affine norm layers, got {type(module).__name__}"
            )
        if self.is_on(module):
            raise GuardError(f"this {type(module).__name__} has an SSF layer already")
        width = module.weight.shape[0]
        device = module.weight.device
        self.gamma = nn.Parameter(torch.ones(width, device=device))
        self.beta = nn.Parameter(torch.zeros(width, device=device))
        # In a tuple, lest the module become a child and its weights appear among ours.
        self._follows: tuple[Any] = (module,)
        self._hook: RemovableHandle | None = None
        self._originals: tuple[nn.Parameter, nn.Parameter | None] | None = None
        module.__dict__[self._mark] = True
        self.enable()

    @classmethod
    def is_on(cls, module: nn.Module) -> bool:
        """Whether a module has a ScaleShift, enabled or not."""
        return cls._mark in module.__dict__

    def enable(self) -> None:
        """Take part in the module's forward pass."""
        if self._hook is None and self._originals is None:
            self._hook = self._follows[0].register_forward_hook(self._scale_and_shift)

    def disable(self) -> None:
        """Leave the module's forward pass, unmerging first."""
        self.unmerge()
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def remove(self) -> None:
        """Leave the module as it was."""
        self.disable()
        self._follows[0].__dict__.pop(self._mark, None)

    def _scale_and_shift(self, module: nn.Module, args: Any, y: Tensor) -> Tensor:
        # Channels come second in images, last in sequences.
        shape = (-1,) + (1,) * (y.ndim - 2) if isinstance(module, _CHANNELS_FIRST) else (-1,)
        gamma, beta = self.gamma.view(shape), self.beta.view(shape)
        return (gamma * y + beta).to(y.dtype)

    def merge(self) -> None:
        """Fold gamma and beta into the module's weight and bias; a second call does nothing."""
        if self._originals is not None:
            return
        module = self._follows[0]
        weight, bias = module.weight, module.bias
        with torch.no_grad():
            rows = self.gamma.view((-1,) + (1,) * (weight.ndim - 1))
            merged_weight = (rows * weight).to(weight.dtype)
            merged_bias = self.beta if bias is None else self.gamma * bias + self.beta
            merged_bias = merged_bias.to(weight.dtype).clone()
        if self._hook is not None:
            self._hook.remove()
            self._hook = None
        self._originals = (weight, bias)
        module.weight = nn.Parameter(merged_weight, requires_grad=weight.requires_grad)
        module.bias = nn.Parameter(merged_bias, requires_grad=weight.requires_grad)

    def unmerge(self) -> None:
        """Put back the module's own tensors and the hook; does nothing when not merged."""
        if self._originals is None:
            return
        module = self._follows[0]
        module.weight, module.bias = self._originals
        self._originals = None
        self.enable()
