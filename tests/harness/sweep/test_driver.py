"""The trials of a sweep as work: what becomes of the pruned, and of settings that are refused."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from core.training.checkpoints import Checkpoint, CheckpointFolder
from core.training.results import StepReport
from harness.executors.schedule import Outcome
from harness.records.score_kind import Score
from harness.run.plan import RunRequest, plan_run
from harness.sweep.driver import Branch, SweepWork, spent_when_stopped
from harness.sweep.record import Metric, TrialState
from harness.sweep.trials.opening import open_storage
from harness.sweep.trials.study import BranchStudy
from harness.wording.display import Display

LOSS = Metric(name="validation_loss", is_higher_better=False)


@pytest.mark.parametrize("stage", ["stage2", "stage1"])
def test_a_pruned_trial_costs_what_it_cost(
    small_request: Callable[..., RunRequest], tmp_path: Path, stage: str
) -> None:
    """Catches: pruned trials that seem to cost nothing, or a stage counted twice at its end; their
    checkpoints kept.
    """
    planned = plan_run(small_request(score=Score.LOSS, results=tmp_path), display=Display())
    stage1 = {"stage": "stage1", "seconds": 3.0, "device_seconds": 2.5}
    now = stage1 if stage == "stage1" else {"stage": stage, "seconds": 2.0, "device_seconds": 1.5}
    folder = planned.folder / "checkpoints"
    CheckpointFolder(folder).save(
        Checkpoint(5, {"weight": torch.zeros(1)}, {**now, "results": [stage1]})
    )
    found = spent_when_stopped(planned)
    assert (
        found
        == {
            "stage1": {"seconds": 3.0, "device_seconds": 2.5},
            "stage2": {"seconds": 5.0, "device_seconds": 4.0},
        }[stage]
    )
    assert not folder.exists()
    assert spent_when_stopped(planned) == {}


@pytest.fixture
def search(
    small_request: Callable[..., RunRequest], tmp_path: Path
) -> Iterator[Callable[[Callable[[Any], dict[str, Any]]], tuple[SweepWork, BranchStudy]]]:
    """A search of three trials that draws as it is told."""
    base = plan_run(small_request(score=Score.LOSS, results=tmp_path), display=Display())
    with open_storage(None, folder=tmp_path, heartbeat_s=60, patience_s=1, say=print) as storage:

        def make(draw: Callable[[Any], dict[str, Any]]) -> tuple[SweepWork, BranchStudy]:
            study = BranchStudy(
                storage, name="s", metrics=[LOSS], num_trials=3, seed=0, sampler="random",
                startup_trials=1, pruner="none", max_retries=0, draw=draw,
                default_params={"num_tokens": 8},
            )  # fmt: skip
            branches = [Branch(base, study)]
            words: dict[str, Any] = {"metrics": [LOSS], "display": Display()}
            return SweepWork(branches, on_change=lambda: None, **words), study

        yield make


def test_a_pruned_trial_tells_its_steps_and_seconds(
    search: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: what pruning spends left out of the budget that branches are compared by."""
    work, study = search(lambda trial: {"num_tokens": trial.suggest_int("num_tokens", 1, 8)})
    work.next()
    task = work.next()
    assert task is not None
    monkeypatch.setattr(study, "report", lambda *args, **words: True)
    step = StepReport(
        stage="stage1",
        step=2,
        stage_steps=2,
        global_step=2,
        total_steps=5,
        loss=0.5,
        losses={},
        grad_norm=1.0,
        lr=1e-4,
        gates={},
        validation_loss=0.5,
    )
    assert not work.on_steps(task, [step])
    CheckpointFolder(task.planned.folder / "checkpoints").save(
        Checkpoint(
            2,
            {"weight": torch.zeros(1)},
            {"stage": "stage1", "seconds": 3.0, "device_seconds": 2.5, "results": []},
        )
    )
    work.on_end(task, Outcome(None, 143, None))
    pruned = study.records()[1]
    assert pruned.state is TrialState.PRUNED
    assert (pruned.steps, pruned.seconds, pruned.device_seconds) == (2, 3.0, 2.5)


def test_settings_that_a_branch_refuses_are_a_failed_trial(search: Any) -> None:
    """Catches: a search that stops for good at the first settings that are refused."""
    work, study = search(lambda trial: {"num_tokens": -trial.suggest_int("num_tokens", 1, 8)})
    default = work.next()
    assert default is not None
    assert default.name == "baseline trial 0"
    assert work.next() is None
    records = study.records()
    assert [r.state for r in records] == [TrialState.RUNNING, TrialState.FAILED, TrialState.FAILED]
    assert all("num_tokens" in str(r.error) for r in records[1:])
