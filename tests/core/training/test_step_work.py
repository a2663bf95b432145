"""What a step on a CPU does besides the mathematics; time is left to `benchmarks/`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from core.conditioning.attached import AttachedVariant
from core.training.checkpoints import CheckpointFolder
from core.training.loop import train
from core.training.objective import TrainingData
from core.training.plan import TrainingPlan
from core.training.step import build_optimizer
from core.training.watch import WATCH_STEPS


def test_gradients_are_watched_until_they_are_judged_and_no_longer(
    make_model: Callable[[], AttachedVariant],
    make_plan: Callable[..., TrainingPlan],
    data: TrainingData,
    scheduler: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catches: a norm of every trained tensor in each of hundreds of steps, which nobody reads."""
    largest = 0
    plain = torch._foreach_norm

    def counted(tensors: list[torch.Tensor], ord: float = 2.0, **words: Any) -> Any:
        nonlocal largest
        largest += ord == torch.inf
        return plain(tensors, ord=ord, **words)

    monkeypatch.setattr(torch, "_foreach_norm", counted)
    train(
        make_model(),
        data=data,
        plan=make_plan(steps=(3, WATCH_STEPS + 3, WATCH_STEPS + 4)),
        scheduler=scheduler,
        latent_shape=(4, 4, 4),
        seed=3,
        checkpoints=CheckpointFolder(tmp_path),
    )
    assert largest == 3 + WATCH_STEPS + WATCH_STEPS


ARITHMETIC = frozenset({"add_", "addcdiv_", "addcmul_", "div", "lerp_", "mul_", "sqrt"})
"""What AdamW does to a tensor."""


class _Calls(TorchFunctionMode):
    """Counts the arithmetic that Python asks of torch, a tensor at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.count += func.__name__ in ARITHMETIC
        return func(*args, **(kwargs or {}))


def stepped(num: int, *, optimizer: Callable[[list[dict[str, object]]], Any]) -> tuple[Any, int]:
    """`num` parameters after three steps, and what the last one asked for tensor by tensor."""
    generator = torch.Generator().manual_seed(0)
    parameters = [nn.Parameter(torch.randn(7, 5, generator=generator)) for _ in range(num)]
    half = num // 2
    groups: list[dict[str, object]] = [
        {"params": parameters[:half], "lr": 1e-2, "weight_decay": 0.01},
        {"params": parameters[half:], "lr": 3e-3, "weight_decay": 0.0},
    ]
    made = optimizer(groups)
    for group, rate in zip(made.param_groups, (1e-2, 3e-3), strict=True):
        group["lr"] = rate
    for _ in range(3):
        for parameter in parameters:
            parameter.grad = torch.randn(7, 5, generator=generator) * 1e-3
        with _Calls() as calls:
            made.step()
    return parameters, calls.count


def test_the_optimiser_takes_all_tensors_at_once_and_to_the_same_bits() -> None:
    """Catches: a dozen calls from Python for each tensor, or other weights than the plain loop."""

    def ours(groups: list[dict[str, object]]) -> torch.optim.AdamW:
        return build_optimizer(groups, eps=1e-8, device=torch.device("cpu"))

    def plain(groups: list[dict[str, object]]) -> torch.optim.AdamW:
        return torch.optim.AdamW(groups, lr=0.0, eps=1e-8, foreach=False, fused=False)

    parameters, calls = stepped(40, optimizer=ours)
    expected, of_plain = stepped(40, optimizer=plain)
    assert all(torch.equal(one, other) for one, other in zip(parameters, expected, strict=True))
    assert of_plain >= 40 * len(ARITHMETIC) - 20  # a decay for half of them
    assert calls == 0
