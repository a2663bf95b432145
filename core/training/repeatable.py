"""A check that two equal steps give equal gradients, to the bit."""

import torch
from torch import Tensor

from core.errors import GuardError
from core.randomness import torch_seeded
from core.training.batches import StepBatch
from core.training.step import TrainingStep


def check_repeatable(step: TrainingStep, batch: StepBatch) -> None:
    """Raises GuardError naming parameters whose gradient differs between two equal passes.

    A micro-batch is passed forward and backward twice from one state; nothing is updated.
    """
    first, second = (_gradients(step, batch) for _ in range(2))
    names = step.watch.names
    unequal = [
        name
        for name, one, other in zip(names, first, second, strict=True)
        if (one is None) != (other is None)
        or (one is not None and other is not None and not torch.equal(one, other))
    ]
    if unequal:
        raise GuardError(
            f"two equal passes give different gradients for {len(unequal)} of {len(names)} "
            f"parameters ({', '.join(unequal[:3])}{' ...' if len(unequal) > 3 else ''}): the same "
            "command, or a resumed run, would end in other weights. Either the branch reads "
            "something that changes by itself (a generator of its own, a buffer, the clock), or a "
            "kernel adds in no fixed order; to train nevertheless, pass --set "
            "training.deterministic=false"
        )


def _gradients(step: TrainingStep, batch: StepBatch) -> list[Tensor | None]:
    step.optimizer.zero_grad(set_to_none=True)
    step.model.set_training(True)
    with torch_seeded(step.seed, "repeatable", step.stage.name):
        step.differentiate(batch.micro(0, size=step.plan.micro_batch))
    found = [None if p.grad is None else p.grad.clone() for p in step.parameters]
    step.optimizer.zero_grad(set_to_none=True)
    return found
