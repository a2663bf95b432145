"""Training that is interrupted, resumed, finished, or cannot go on."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.conditioning.attached import AttachedVariant
from core.errors import MismatchError
from core.training.checkpoints import CheckpointFolder
from core.training.interrupts import Interrupted
from core.training.loop import train
from core.training.objective import TrainingData
from core.training.results import StepReport, TrainingResult
from tests.core.training.trained import LATENT_SHAPE, MakeModel, MakePlan, Whole, run, same


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
