"""Training that would be void is refused while it goes on: what it learns by, keeps and resumes."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.conditioning.attached import AttachedVariant
from core.conditioning.conditioning import Conditioning, ConditioningInputs
from core.conditioning.stage import ParameterGroup
from core.errors import GuardError, MismatchError
from core.training.checkpoints import Checkpoint, CheckpointFolder
from core.training.loop import train
from core.training.objective import TrainingData
from core.training.plan import TrainingPlan
from core.training.results import StepReport

MakeModel = Callable[[], AttachedVariant]
MakePlan = Callable[..., TrainingPlan]
LATENT_SHAPE = (4, 4, 4)


@pytest.fixture
def go_on(
    data: TrainingData, make_plan: MakePlan, scheduler: Any, tmp_path: Path
) -> Callable[..., Any]:
    """Train from what is in the folder; `changes` are the plan's."""

    def run(
        model: AttachedVariant, on_step: Callable[[StepReport], None] = print, **changes: Any
    ) -> Any:
        return train(
            model,
            data=data,
            plan=replace(make_plan(steps=(4, 0, 0)), validate_every=2, **changes),
            scheduler=scheduler,
            latent_shape=LATENT_SHAPE,
            seed=3,
            checkpoints=CheckpointFolder(tmp_path),
            on_step=on_step,
        )

    return run


def audio_alone(plan: TrainingPlan) -> TrainingPlan:
    """Without the gate, which has a gradient whatever the tokens are."""
    first = replace(plan.stages[0], trains=(ParameterGroup.AUDIO,))
    return replace(plan, stages=(first, *plan.stages[1:]))


@pytest.mark.parametrize("has_own_term", [False, True])
def test_tokens_that_no_gradient_reaches_are_refused_at_the_first_step(
    make_model: MakeModel, plan: TrainingPlan, go_on: Any, has_own_term: bool
) -> None:
    """Catches: torch's own traceback, or a loss that falls by the variant's own term alone."""
    model = make_model()
    variant, condition = model.variant, model.variant.condition

    def detached(inputs: ConditioningInputs) -> Conditioning:
        found = condition(inputs)
        assert found.audio_BNC is not None
        return replace(found, audio_BNC=found.audio_BNC.detach())

    def own(inputs: ConditioningInputs, given: Conditioning, *, stage: str) -> Mapping[str, Tensor]:
        tokens = condition(inputs).audio_BNC
        return {"shrink": tokens.square().mean()} if has_own_term and tokens is not None else {}

    object.__setattr__(variant, "condition", detached)
    object.__setattr__(variant, "auxiliary_losses", own)
    steps: list[StepReport] = []
    with pytest.raises(GuardError, match="stage1: the diffusion loss depends on no parameter"):
        go_on(model, steps.append, stages=audio_alone(plan).stages)
    assert steps == []


@pytest.mark.parametrize("where", ["parameter", "buffer"])
def test_weights_that_move_while_validating_are_refused(
    make_model: MakeModel, go_on: Any, where: str
) -> None:
    """Catches: an average that goes on in evaluation, so that weights follow the validation."""
    model = make_model()
    variant, condition = model.variant, model.variant.condition
    variant.register_buffer("average", torch.zeros(1))
    moved = variant.average if where == "buffer" else next(variant.parameters())

    def drifting(inputs: ConditioningInputs) -> Conditioning:
        if not variant.training:
            with torch.no_grad():
                moved.add_(1e-3)
        return condition(inputs)

    object.__setattr__(variant, "condition", drifting)
    with pytest.raises(GuardError, match=r"stage1: validating changed variant\."):
        go_on(model)


@pytest.mark.parametrize("lost", ["optimizer.exp_avg.", "optimizer.step.", "before.", "best."])
def test_a_checkpoint_that_lacks_state_is_not_gone_on_from(
    make_model: MakeModel, go_on: Any, tmp_path: Path, lost: str
) -> None:
    """Catches: a resume that restores the counter and begins AdamW's averages anew."""

    class Stop(Exception):
        """In place of a signal."""

    def stop_at_three(report: StepReport) -> None:
        if report.step == 3:
            raise Stop

    with pytest.raises(Stop):
        go_on(make_model(), stop_at_three, checkpoint_every=2)
    folder = CheckpointFolder(tmp_path)
    whole = folder.latest()
    assert whole is not None
    assert whole.global_step == 2
    names = sorted(name for name in whole.tensors if name.startswith(lost))
    tensors = {name: t for name, t in whole.tensors.items() if name != names[0]}
    folder.save(Checkpoint(2, tensors, whole.state))
    with pytest.raises(MismatchError, match=f"lacks {names[0]}"):
        go_on(make_model())
    folder.save(whole)
    assert go_on(make_model()).resumed_from == 2
