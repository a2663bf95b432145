"""The staged loop: what it trains, what it leaves alone, and that it resumes exactly."""

import math
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from core.conditioning.attached import AttachedVariant
from core.conditioning.stage import ParameterGroup, StopCriterion
from core.errors import GuardError, MismatchError
from core.training import stage_loop
from core.training.checkpoints import CheckpointFolder
from core.training.interrupts import Interrupted
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


@pytest.fixture(scope="module")
def whole(
    make_model: MakeModel,
    make_plan: MakePlan,
    make_data: Callable[[], TrainingData],
    scheduler: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Whole:
    """Three stages from end to end, the last one kept by its validation loss."""
    plan = make_plan()
    last = replace(plan.stages[2], stop=StopCriterion.VALIDATION_LOSS)
    plan = replace(plan, stages=(*plan.stages[:2], last))
    model = make_model()
    frozen = {name: p.detach().clone() for name, p in model.frozen_parameters().items()}
    start, stages = model.state_dict(), {}
    losses: list[float] = []

    def note(report: StepReport) -> None:
        losses.append(report.loss)
        if report.step == report.stage_steps:
            stages[report.stage] = model.state_dict()

    folder = tmp_path_factory.mktemp("whole")
    run(model, data=make_data(), plan=plan, scheduler=scheduler, folder=folder, on_step=note)
    return Whole(
        plan=plan,
        folder=folder,
        start=start,
        stages=stages,
        losses=losses,
        model=model,
        frozen=frozen,
    )


def test_two_runs_with_one_seed_end_bit_identical(
    whole: Whole, make_model: MakeModel, data: TrainingData, scheduler: Any, tmp_path: Path
) -> None:
    """Catches: a draw that depends on global generator state or on the order of calls."""
    second = make_model()
    torch.randn(17)
    run(second, data=data, plan=whole.plan, scheduler=scheduler, folder=tmp_path)
    assert same(whole.model.state_dict(), second.state_dict())


@pytest.mark.parametrize("stop_after", [1, 3, 4, 6, 10])
def test_an_interrupted_run_resumes_bit_identical(
    whole: Whole,
    make_model: MakeModel,
    data: TrainingData,
    scheduler: Any,
    tmp_path: Path,
    stop_after: int,
) -> None:
    """Catches: optimiser state, dropout, data order or the best weights lost on resume."""

    def go_on(model: AttachedVariant, on_step: Callable[[StepReport], None]) -> TrainingResult:
        plan = whole.plan
        return run(
            model, data=data, plan=plan, scheduler=scheduler, folder=tmp_path, on_step=on_step
        )

    def stop(report: StepReport) -> None:
        if report.global_step == stop_after:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted) as stopped:
        go_on(make_model(), stop)
    assert stopped.value.exit_code == 143
    resumed = make_model()
    losses: list[float] = []
    result = go_on(resumed, lambda report: losses.append(report.loss))
    assert result.resumed_from == stop_after
    assert losses == whole.losses[stop_after:]
    assert same(whole.model.state_dict(), resumed.state_dict())


@pytest.mark.parametrize("is_killed", [False, True])
def test_device_seconds_add_up_over_processes(
    make_model: MakeModel,
    make_plan: MakePlan,
    data: TrainingData,
    scheduler: Any,
    tmp_path: Path,
    is_killed: bool,
) -> None:
    """Catches: a resumed run that costs what its last process did, or the steps of a kill twice."""
    now = 0.0
    plan = make_plan(steps=(2, 4, 1))

    def tick(report: StepReport) -> None:
        nonlocal now
        now += 1.0
        if report.global_step == 5 and now < 100.0:
            if is_killed:
                raise KeyboardInterrupt  # as a kill, no checkpoint is written
            signal.raise_signal(signal.SIGTERM)

    def go_on() -> TrainingResult:
        return train(
            make_model(),
            data=data,
            plan=plan,
            scheduler=scheduler,
            latent_shape=LATENT_SHAPE,
            seed=3,
            checkpoints=CheckpointFolder(tmp_path),
            clock=lambda: now,
            on_step=tick,
        )

    with pytest.raises(KeyboardInterrupt if is_killed else Interrupted):
        go_on()
    now = 1000.0  # another process, another clock
    stages = go_on().stages
    assert [stage.device_seconds for stage in stages] == [stage.steps_done for stage in stages]


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


def test_a_finished_schedule_is_not_trained_again(
    whole: Whole, make_model: MakeModel, data: TrainingData, scheduler: Any, tmp_path: Path
) -> None:
    """Catches: a resume that repeats the last stage on top of itself."""
    folder = tmp_path / "again"
    shutil.copytree(whole.folder, folder)
    second = make_model()
    steps: list[int] = []
    run(
        second,
        data=data,
        plan=whole.plan,
        scheduler=scheduler,
        folder=folder,
        on_step=lambda report: steps.append(report.global_step),
    )
    assert steps == []
    assert same(whole.model.state_dict(), second.state_dict())


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


def test_a_run_with_only_damaged_checkpoints_is_not_restarted(
    whole: Whole, make_model: MakeModel, data: TrainingData, scheduler: Any, tmp_path: Path
) -> None:
    """Catches: hours of training silently begun again from zero."""
    folder = tmp_path / "damaged"
    shutil.copytree(whole.folder, folder)
    for path in folder.glob("step-*/tensors.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(MismatchError, match="every checkpoint"):
        run(make_model(), data=data, plan=whole.plan, scheduler=scheduler, folder=folder)


def test_a_resume_skips_a_stage_without_steps_and_repeats_none(
    make_model: MakeModel, make_plan: MakePlan, data: TrainingData, scheduler: Any, tmp_path: Path
) -> None:
    """Catches: finished stages counted by place, so that a stage of 0 steps shifts them all."""
    plan = make_plan(steps=(0, 3, 4))
    whole, broken, resumed = make_model(), make_model(), make_model()
    run(whole, data=data, plan=plan, scheduler=scheduler, folder=tmp_path / "whole")

    def stop(report: StepReport) -> None:
        if report.stage == "stage3" and report.step == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        run(broken, data=data, plan=plan, scheduler=scheduler, folder=tmp_path / "b", on_step=stop)
    steps: list[tuple[str, int]] = []
    result = run(
        resumed,
        data=data,
        plan=plan,
        scheduler=scheduler,
        folder=tmp_path / "b",
        on_step=lambda report: steps.append((report.stage, report.step)),
    )
    assert steps == [("stage3", 3), ("stage3", 4)]
    assert [stage.stage for stage in result.stages] == ["stage2", "stage3"]
    assert same(whole.state_dict(), resumed.state_dict())
