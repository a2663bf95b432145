"""Looks at the model while it trains."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from core.conditioning.attached import AttachedVariant
from core.randomness import torch_seeded
from core.training.checkpoints import CheckpointFolder
from core.training.loop import train
from core.training.objective import TrainingData
from core.training.plan import TrainingPlan
from core.training.preview import Preview
from core.training.results import StepReport


class Look(Preview):
    """As a run's preview does: eval mode, a forward pass, random numbers under a name."""

    def __init__(self, model: AttachedVariant, data: TrainingData) -> None:
        self.model, self.data = model, data
        self.steps: list[int] = []

    def is_due(self, global_step: int) -> bool:
        return global_step % 2 == 1

    def show(self, global_step: int) -> None:
        self.steps.append(global_step)
        self.model.set_training(False)
        with torch.no_grad(), torch_seeded(0, "preview", global_step):
            inputs = self.data.inputs(self.data.validation_ids)
            context = self.model.variant.condition(inputs).context()
            noise = torch.randn(len(self.data.validation_ids), 4, 4, 4)
            self.model.predict(noise, torch.full((len(noise),), 10), context)


def test_weights_and_losses_are_those_of_a_training_without_previews(
    make_model: Callable[[], AttachedVariant],
    data: TrainingData,
    make_plan: Callable[..., TrainingPlan],
    scheduler: Any,
    tmp_path: Path,
) -> None:
    """Catches: a look that draws the training's random numbers, or leaves dropout off."""
    found = []
    for name in ("without", "with"):
        model = make_model()
        look = Look(model, data) if name == "with" else None
        reports: list[StepReport] = []
        train(
            model,
            data=data,
            plan=make_plan(steps=(2, 3, 0)),
            scheduler=scheduler,
            latent_shape=(4, 4, 4),
            seed=0,
            checkpoints=CheckpointFolder(tmp_path / name),
            on_step=reports.append,
            preview=look,
        )
        found.append((model.state_dict(), reports))
        if look is not None:
            assert look.steps == [1, 3, 5]
    (plain, without), (looked_at, with_) = found
    assert without == with_
    assert plain.keys() == looked_at.keys()
    assert all(torch.equal(plain[name], looked_at[name]) for name in plain)
