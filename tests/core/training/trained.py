"""Training of the small model as the tests of the loop ask for it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from core.conditioning.attached import AttachedVariant
from core.training.checkpoints import CheckpointFolder
from core.training.loop import train
from core.training.objective import TrainingData
from core.training.plan import TrainingPlan
from core.training.results import StepReport, TrainingResult

MakeModel = Callable[[], AttachedVariant]


MakePlan = Callable[..., TrainingPlan]


LATENT_SHAPE = (4, 4, 4)


def run(
    model: AttachedVariant,
    *,
    data: TrainingData,
    plan: TrainingPlan,
    scheduler: Any,
    folder: Path,
    on_step: Callable[[StepReport], None] = lambda report: None,
) -> TrainingResult:
    return train(
        model,
        data=data,
        plan=plan,
        scheduler=scheduler,
        latent_shape=LATENT_SHAPE,
        seed=3,
        checkpoints=CheckpointFolder(folder),
        on_step=on_step,
    )


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


@dataclass(frozen=True)
class Whole:
    """A schedule that nothing interrupted; tests must leave its folder as it is."""

    plan: TrainingPlan
    folder: Path
    start: dict[str, torch.Tensor]
    stages: dict[str, dict[str, torch.Tensor]]
    """The state at the end of each stage."""
    losses: list[float]
    model: AttachedVariant
    frozen: dict[str, torch.Tensor]
    """The frozen parameters before the first step."""
