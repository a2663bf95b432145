"""The trials of a sweep as work: what becomes of settings that cannot be run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.planning import RunRequest, plan_run
from harness.progress import Display
from harness.score_kind import Score
from harness.sweep.driver import Branch, SweepWork
from harness.sweep.record import Metric, TrialState
from harness.sweep.storage import SweepStorage
from harness.sweep.study import BranchStudy

LOSS = Metric(name="validation_loss", is_higher_better=False)


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
