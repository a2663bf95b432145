"""Loss scaling of float16: what overflows is left out and counted, and the scale follows."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from core.choices import Precision
from core.conditioning.attached import AttachedVariant
from core.errors import GuardError
from core.training import scaling
from core.training.objective import TrainingData
from core.training.plan import TrainingPlan
from core.training.results import StepReport, TrainingResult
from core.training.scaling import LossScaler
from tests.core.training import trained

CPU = torch.device("cpu")
MakeModel = Callable[[], AttachedVariant]


def test_an_overflow_halves_the_scale_and_a_long_quiet_doubles_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catches: a scale that only falls, or one that grows at each step until it overflows."""
    monkeypatch.setattr(scaling, "GROWTH_INTERVAL", 3)
    scaler = LossScaler(device=CPU)
    scales = []
    for is_finite in (True, False, True, True, True, True):
        scaler.update_(torch.tensor(is_finite))
        scales.append(float(scaler.scale) / scaling.START)
    assert scales == [1, 0.5, 0.5, 0.5, 1, 1]
    assert float(scaler.num_skipped) == 1


def test_unscaled_gradients_are_those_of_the_loss() -> None:
    """Catches: gradients that keep the scale, so that clipping sees another norm."""
    scaler, weight = LossScaler(device=CPU), nn.Parameter(torch.tensor([1.0, 3.0]))
    scaler.scaled(weight.square().sum()).backward()
    scaler.unscale_([weight])
    assert torch.equal(weight.grad, torch.tensor([2.0, 6.0]))


def test_a_restored_scaler_goes_on_where_it_was() -> None:
    """Catches: a resume that starts at the first scale and skips its steps again."""
    first, second = LossScaler(device=CPU), LossScaler(device=CPU)
    first.update_(torch.tensor(False))
    second.restore(first.tensors())
    for scaler in (first, second):
        scaler.update_(torch.tensor(True))
    assert all(torch.equal(t, second.tensors()[n]) for n, t in first.tensors().items())


def run(model: AttachedVariant, *, plan: TrainingPlan, **how: Any) -> TrainingResult:
    return trained.run(model, plan=replace(plan, precision=Precision.FLOAT16), **how)


def overflow_at(model: AttachedVariant, step: int) -> Callable[[StepReport], None]:
    """Make the gradients of the step after `step` infinite."""
    parameter = next(iter(model.parameters(model.variant.parameter_groups()).values()))

    def note(report: StepReport) -> None:
        if report.global_step == step:
            handle = parameter.register_hook(lambda grad: handle.remove() or grad * torch.inf)

    return note


def test_a_step_that_overflows_is_not_applied_and_is_counted(
    make_model: MakeModel, data: TrainingData, plan: TrainingPlan, scheduler: Any, tmp_path: Path
) -> None:
    """Catches: infinite gradients stepped into the weights, or a run refused for one of them."""
    model = make_model()
    poison = overflow_at(model, 2)
    states: list[dict[str, torch.Tensor]] = []
    reports: list[StepReport] = []

    def note(report: StepReport) -> None:
        states.append(model.state_dict())
        reports.append(report)
        poison(report)

    result = run(model, data=data, plan=plan, scheduler=scheduler, folder=tmp_path, on_step=note)
    assert [report.grad_norm is None for report in reports[:4]] == [False, False, True, False]
    assert all(torch.equal(t, states[2][n]) for n, t in states[1].items())
    assert any(not torch.equal(t, states[3][n]) for n, t in states[2].items())
    assert [stage.skipped_steps for stage in result.stages] == [1, 0, 0]


def test_a_run_that_always_overflows_is_refused(
    make_model: MakeModel,
    data: TrainingData,
    make_plan: Callable[..., TrainingPlan],
    scheduler: Any,
    tmp_path: Path,
) -> None:
    """Catches: a run whose every step is skipped and that looks finished."""
    model = make_model()
    parameter = next(iter(model.parameters(model.variant.parameter_groups()).values()))
    parameter.register_hook(lambda grad: grad * torch.inf)
    with pytest.raises(GuardError, match=r"stage1 step 16: float16 gradients overflow even at"):
        run(
            model,
            data=data,
            plan=make_plan(steps=(30, 0, 0), micro_batch=2, accumulation=1),
            scheduler=scheduler,
            folder=tmp_path,
        )
