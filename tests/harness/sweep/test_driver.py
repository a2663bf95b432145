"""The trials of a sweep as work: what becomes of settings that cannot be run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.training.checkpoints import Checkpoint, CheckpointFolder
from harness.planning import RunRequest, plan_run
from harness.progress import Display
from harness.score_kind import Score
from harness.sweep.driver import Branch, SweepWork, spent_when_stopped
from harness.sweep.record import Metric, TrialState
from harness.sweep.storage import SweepStorage
from harness.sweep.study import BranchStudy

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


def test_settings_that_a_branch_refuses_are_a_failed_trial(
    small_request: Callable[..., RunRequest], tmp_path: Path
) -> None:
    """Catches: a search that stops for good at the first settings that are refused."""
    base = plan_run(small_request(score=Score.LOSS), display=Display())

    def draw(trial: Any) -> dict[str, Any]:
        return {"num_tokens": -trial.suggest_int("num_tokens", 1, 8)}

    with SweepStorage.open(
        None, folder=tmp_path, heartbeat_s=60, patience_s=1, say=print
    ) as storage:
        study = BranchStudy(
            storage, name="s", metrics=[LOSS], num_trials=3, seed=0, sampler="random",
            startup_trials=1, pruner="none", max_retries=0, draw=draw,
            default_params={"num_tokens": 8},
        )  # fmt: skip
        work = SweepWork(
            [Branch(base, study)], metrics=[LOSS], display=Display(), on_change=lambda: None
        )
        default = work.next()
        assert default is not None
        assert default.name == "baseline trial 0"
        assert work.next() is None
        records = study.records()
    assert [r.state for r in records] == [TrialState.RUNNING, TrialState.FAILED, TrialState.FAILED]
    assert all("num_tokens" in str(r.error) for r in records[1:])
