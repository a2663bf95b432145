"""The staged loop: what it trains, what it leaves alone, and that it resumes exactly."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from core.conditioning.stage import ParameterGroup, StopCriterion
from core.errors import GuardError
from core.training import stage_loop
from core.training.objective import TrainingData
from core.training.plan import TrainingPlan
from core.training.results import StepReport
from tests.core.training.trained import MakeModel, MakePlan, Whole, run, same


def test_two_runs_with_one_seed_end_bit_identical(
    whole: Whole, make_model: MakeModel, data: TrainingData, scheduler: Any, tmp_path: Path
) -> None:
    """Catches: a draw that depends on global generator state or on the order of calls."""
    second = make_model()
    torch.randn(17)
    run(second, data=data, plan=whole.plan, scheduler=scheduler, folder=tmp_path)
    assert same(whole.model.state_dict(), second.state_dict())


def test_a_stage_that_the_gates_end_early_validates_at_its_end(
    make_model: MakeModel,
    data: TrainingData,
    plan: TrainingPlan,
    scheduler: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catches: a stage boundary without a validation loss, which a search waits for."""
    monkeypatch.setattr(stage_loop, "GATE_WINDOW", (0.0, 1.0))
    first = replace(plan.stages[0], stop=StopCriterion.GATE_WINDOW)
    plan = replace(plan, stages=(first, *plan.stages[1:]), validate_every=99)
    reports: list[StepReport] = []
    result = run(
        make_model(),
        data=data,
        plan=plan,
        scheduler=scheduler,
        folder=tmp_path,
        on_step=reports.append,
    )
    assert result.stages[0].stopped_by == StopCriterion.GATE_WINDOW
    ends = [report.stage for report in reports if report.validation_loss is not None]
    assert ends == ["stage1", "stage2", "stage3"]
    assert reports[0].validation_loss == result.stages[0].validation_loss is not None


def test_accumulation_takes_one_optimiser_step_for_all_micro_batches(
    make_model: MakeModel,
    make_plan: MakePlan,
    data: TrainingData,
    scheduler: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catches: stepping on every micro-batch, which makes `accumulation` a lie."""
    calls: list[int] = []
    step = torch.optim.AdamW.step

    def counted(self: torch.optim.AdamW, *args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", counted)
    plan = make_plan(steps=(3, 0, 0), micro_batch=1, accumulation=4)
    run(make_model(), data=data, plan=plan, scheduler=scheduler, folder=tmp_path)
    assert len(calls) == 3


def _contrast(
    variant: Any, inputs: Any, conditioning: Any, *, stage: str
) -> dict[str, torch.Tensor]:
    """A loss that compares samples, as InfoNCE does: of one sample alone it is 0."""
    pooled_BC = conditioning.audio_BNC.mean(dim=1)
    return {"contrast": ((pooled_BC - pooled_BC.mean(dim=0)) ** 2).mean()}


@pytest.mark.parametrize("compares_samples", [False, True])
def test_cutting_a_batch_into_micro_batches_changes_only_roundings(
    make_model: MakeModel, make_plan: MakePlan, data: TrainingData, scheduler: Any, tmp_path: Path,
    compares_samples: bool, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Catches: draws that depend on the micro-batch, a loss not divided by accumulation, or one
    that compares the samples of a micro-batch alone (2.09 of 16 samples, 0 of one)."""
    if compares_samples:
        monkeypatch.setattr(type(make_model().variant), "auxiliary_losses", _contrast)
    whole, cut = [], []
    for losses, micro, accumulation in ((whole, 4, 1), (cut, 1, 4)):
        model = make_model()
        model.variant.eval()
        for module in (*model.variant.modules(), *model.unet.modules()):
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        plan = make_plan(steps=(3, 3, 0), micro_batch=micro, accumulation=accumulation)
        run(
            model,
            data=data,
            plan=plan,
            scheduler=scheduler,
            folder=tmp_path / str(micro),
            on_step=lambda report, losses=losses: losses.append(report.losses),
        )
    for ours, theirs in zip(whole, cut, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3)
    assert all(("contrast" in terms) == compares_samples for terms in whole)


def test_frozen_unet_is_unchanged_after_training(whole: Whole) -> None:
    """Catches: a foundation parameter that slips into the optimiser."""
    after = whole.model.frozen_parameters()
    assert whole.frozen.keys() == after.keys()
    assert all(torch.equal(whole.frozen[name], after[name]) for name in after)


def test_each_stage_moves_exactly_the_groups_it_trains(whole: Whole) -> None:
    """Catches: LoRA lost between stages, gates trained alone that drag the modules along."""
    seen = {"start": whole.start, **whole.stages}
    groups = {group: set(whole.model.parameters([group])) for group in ParameterGroup}

    def moved(before: str, after: str) -> set[str]:
        return {n for n, t in seen[before].items() if not torch.equal(t, seen[after][n])}

    audio, gates = groups[ParameterGroup.AUDIO], groups[ParameterGroup.GATES]
    adapter = groups[ParameterGroup.UNET_ADAPTER]
    assert moved("start", "stage1") == audio | gates
    assert moved("stage1", "stage2") == audio | gates | adapter
    assert moved("stage2", "stage3") == gates


def test_a_nan_loss_stops_before_the_optimiser_step(
    make_model: MakeModel, data: TrainingData, plan: TrainingPlan, scheduler: Any, tmp_path: Path
) -> None:
    """Catches: NaN written into the weights, and a failed run that looks finished."""
    model = make_model()
    states: list[dict[str, torch.Tensor]] = []

    def poison(report: StepReport) -> None:
        if report.global_step == 2:
            states.append(model.state_dict())
            poisoned = replace(data, class_weight=dict.fromkeys(data.train_ids, float("nan")))
            object.__setattr__(data, "class_weight", poisoned.class_weight)

    with pytest.raises(GuardError, match="stage1 step 2: loss nan"):
        run(model, data=data, plan=plan, scheduler=scheduler, folder=tmp_path, on_step=poison)
    assert same(states[0], model.state_dict())


def test_a_nan_validation_loss_stops_the_run(
    make_model: MakeModel,
    data: TrainingData,
    plan: TrainingPlan,
    scheduler: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catches: weights kept by a loss that is below every other because nothing is below NaN."""
    monkeypatch.setattr("core.training.stage_loop.planned_loss", lambda *_, **__: math.nan)
    with pytest.raises(GuardError, match=r"stage1 step \d+: the validation loss is nan"):
        run(make_model(), data=data, plan=plan, scheduler=scheduler, folder=tmp_path)


def test_a_module_outside_the_graph_is_refused_by_name(
    make_model: MakeModel, data: TrainingData, plan: TrainingPlan, scheduler: Any, tmp_path: Path
) -> None:
    """Catches: a gate that is built, listed as trained, and never used."""
    model = make_model()
    model.variant.forgotten = nn.Linear(2, 2)
    with pytest.raises(GuardError, match=r"variant\.forgotten\.weight"):
        run(model, data=data, plan=plan, scheduler=scheduler, folder=tmp_path)


def test_updates_that_vanish_in_rounding_are_refused(
    make_model: MakeModel, data: TrainingData, plan: TrainingPlan, scheduler: Any, tmp_path: Path
) -> None:
    """Catches: bfloat16 master weights that swallow every update."""
    model = make_model()
    plan = replace(plan, stages=(replace(plan.stages[0], lr=1e-30, gate_lr=1e-30, steps=2),))
    with pytest.raises(GuardError, match="did not move"):
        run(model, data=data, plan=plan, scheduler=scheduler, folder=tmp_path)


def test_validation_uses_the_same_noise_each_time(
    make_model: MakeModel, make_plan: MakePlan, data: TrainingData, scheduler: Any, tmp_path: Path
) -> None:
    """Catches: fresh validation noise, which makes the best step a lottery."""
    losses: list[float] = []
    plan = make_plan(steps=(4, 0, 0))
    stage = replace(plan.stages[0], lr=1e-6, gate_lr=1e-6)
    plan = replace(plan, stages=(stage,), validate_every=1)
    run(
        make_model(),
        data=data,
        plan=plan,
        scheduler=scheduler,
        folder=tmp_path,
        on_step=lambda report: losses.append(report.validation_loss or 0.0),
    )
    assert losses == pytest.approx([losses[0]] * 4, rel=1e-3)


def test_stage_three_keeps_the_gates_of_the_best_validation(
    make_model: MakeModel, make_plan: MakePlan, data: TrainingData, scheduler: Any, tmp_path: Path
) -> None:
    """Catches: 'validation_loss' that keeps the last gates whatever they score."""
    plan = make_plan(steps=(2, 2, 6))
    last = replace(plan.stages[2], gate_lr=3.0, stop=StopCriterion.VALIDATION_LOSS)
    plan = replace(plan, stages=(*plan.stages[:2], last), validate_every=1)
    losses: dict[int, float] = {}
    gates: dict[int, float] = {}

    def note(report: StepReport) -> None:
        if report.stage == "stage3" and report.validation_loss is not None:
            losses[report.step] = report.validation_loss
            gates[report.step] = report.gates["gate"]

    model = make_model()
    result = run(model, data=data, plan=plan, scheduler=scheduler, folder=tmp_path, on_step=note)
    best = min(losses, key=lambda step: losses[step])
    assert result.stages[2].kept_step == best
    assert model.variant.gate_values()["gate"] == pytest.approx(gates[best])
