"""What a checkpoint inside a stage holds: everything that the stage goes on from, by name."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

_OPTIMIZER = "optimizer."
_ADAMW_STATE = ("step", "exp_avg", "exp_avg_sq")


def prefixed(tensors: Mapping[str, Tensor], *, prefix: str) -> dict[str, Tensor]:
    """The tensors under `prefix`."""
    return {prefix + name: tensor for name, tensor in tensors.items()}


def under(tensors: Mapping[str, Tensor], *, prefix: str) -> dict[str, Tensor]:
    """The tensors that lie under `prefix`, by their own names."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def optimizer_tensors(
    optimizer: torch.optim.Optimizer, *, trained: Mapping[str, nn.Parameter]
) -> dict[str, Tensor]:
    """AdamW's state by the names of the parameters it belongs to."""
    names = {id(parameter): name for name, parameter in trained.items()}
    return {
        f"{_OPTIMIZER}{key}.{names[id(parameter)]}": torch.as_tensor(value)
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer,
    tensors: Mapping[str, Tensor],
    *,
    trained: Mapping[str, nn.Parameter],
) -> None:
    """Put back what `optimizer_tensors` gave."""
    for name, parameter in trained.items():
        state: dict[str, Any] = {}
        for key in _ADAMW_STATE:
            tensor = tensors.get(f"{_OPTIMIZER}{key}.{name}")
            if tensor is not None:
                is_on_host = key == "step" and not optimizer.param_groups[0]["fused"]
                state[key] = tensor.clone() if is_on_host else tensor.to(parameter.device)
        if state:
            optimizer.state[parameter] = state


def of_names(tensors: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """Those of `names` that are there, in the order of `names`."""
    return {name: tensors[name] for name in names if name in tensors}
