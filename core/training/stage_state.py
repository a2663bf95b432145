"""What a checkpoint inside a stage holds: everything that the stage goes on from, by name."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import MismatchError

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
    required: Collection[str],
    step: int,
) -> None:
    """Put back what `optimizer_tensors` gave.

    required: parameters that the optimiser has moved before `step`, the stage's.

    Raises: MismatchError where state of a required one is missing.
    """
    for name, parameter in trained.items():
        state: dict[str, Any] = {}
        for key in _ADAMW_STATE:
            tensor = tensors.get(f"{_OPTIMIZER}{key}.{name}")
            if tensor is not None:
                is_on_host = key == "step" and not optimizer.param_groups[0]["fused"]
                state[key] = tensor.clone() if is_on_host else tensor.to(parameter.device)
            elif name in required:
                raise _missing(f"{_OPTIMIZER}{key}.{name}", step=step)
        if state:
            optimizer.state[parameter] = state


def of_names(
    tensors: Mapping[str, Tensor], names: Iterable[str], *, what: str, step: int
) -> dict[str, Tensor]:
    """The tensors of these names, in their order.

    Raises: MismatchError naming what is missing, with `what` before its name.
    """
    missing = [name for name in names if name not in tensors]
    if missing:
        raise _missing(what + missing[0], step=step)
    return {name: tensors[name] for name in names}


def _missing(name: str, *, step: int) -> MismatchError:
    return MismatchError(
        f"the checkpoint of step {step} of this stage lacks {name}, which a resumed run would "
        "silently start from scratch. Delete the run's folder to train it again"
    )
