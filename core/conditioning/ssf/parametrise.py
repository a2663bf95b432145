"""SSF on modules whose weight is read directly, such as the convolution of a Mamba mixer.

A wrapper around such a module would never be called, so gamma scales the rows of its weight and
its bias, and beta shifts the bias, by `torch.nn.utils.parametrize`. A module without a bias has
no beta: there is no place to add it.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from core.errors import GuardError, MismatchError

_GAMMA = "ssf_gamma"


class _ScaleRows(nn.Module):
    """gamma [W] times the rows of a weight [W, ...]; exactly 1 at the start."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.ssf_gamma = nn.Parameter(torch.ones(len(weight), device=weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        rows = self.ssf_gamma.view((-1,) + (1,) * (weight.ndim - 1))
        return (rows * weight).to(weight.dtype)


class _ScaleShiftBias(nn.Module):
    """gamma times a bias [W], plus beta; beta is exactly 0 at the start, gamma the weight's."""

    def __init__(self, bias: Tensor, *, rows: _ScaleRows) -> None:
        super().__init__()
        self.ssf_beta = nn.Parameter(torch.zeros(len(bias), device=bias.device))
        # In a tuple, lest gamma be counted twice.
        self._rows = (rows,)

    def forward(self, bias: Tensor) -> Tensor:
        return (self._rows[0].ssf_gamma * bias + self.ssf_beta).to(bias.dtype)


def parametrise(model: nn.Module, *, paths: Iterable[str]) -> dict[str, nn.Parameter]:
    """Let SSF scale and shift what the modules at `paths` compute; returns its parameters by name.

    The model's own tensors are kept under `parametrizations.*.original`, and the output does not
    change until gamma or beta do.

    Raises:
        MismatchError: a path names no module with a weight.
        GuardError: a module is parametrised already.
    """
    modules: dict[str, Any] = {}
    for path in paths:
        try:
            module: Any = model.get_submodule(path)
        except AttributeError:
            raise MismatchError(f"SSF: the model has no module {path!r}") from None
        if not isinstance(getattr(module, "weight", None), Tensor):
            raise MismatchError(f"SSF: {path!r} is a {type(module).__name__} without a weight")
        if parametrize.is_parametrized(module):
            raise GuardError(f"SSF: {path!r} is parametrised already; a second one would add up")
        modules[path] = module
    found: dict[str, nn.Parameter] = {}
    for path, module in modules.items():
        weight, bias = module.weight, getattr(module, "bias", None)
        rows = _ScaleRows(weight)
        parametrize.register_parametrization(module, "weight", rows)
        found[f"{path}.{_GAMMA}"] = rows.ssf_gamma
        if bias is not None:
            shift = _ScaleShiftBias(bias, rows=rows)
            parametrize.register_parametrization(module, "bias", shift)
            found[f"{path}.ssf_beta"] = shift.ssf_beta
    return found


def merge(model: nn.Module) -> None:
    """Replace each parametrised weight and bias by the values it has now; SSF is gone then."""
    for module in _parametrised(model):
        for name in list(module.parametrizations):
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)


def remove(model: nn.Module) -> None:
    """Put each module's own tensors back, the very same."""
    for module in _parametrised(model):
        for name in list(module.parametrizations):
            parametrize.remove_parametrizations(module, name, leave_parametrized=False)


def _parametrised(model: nn.Module) -> list[Any]:
    modules: Iterable[Any] = model.modules()
    return [
        module
        for module in modules
        if parametrize.is_parametrized(module)
        and isinstance(module.parametrizations["weight"][0], _ScaleRows)
    ]
