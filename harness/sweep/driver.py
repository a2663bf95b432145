"""The trials of a sweep as work for an executor: claimed, watched, pruned and told."""

import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from core.errors import BusyError, HarnessError, MismatchError, PausedError, UsageError
from core.training.checkpoints import CheckpointFolder
from core.training.results import StepReport
from harness.executors.base import Task
from harness.executors.schedule import Outcome, Work
from harness.records.folders import RunFolder
from harness.records.lock import held
from harness.records.record import RunRecord, Status
from harness.run.plan import PlannedRun
from harness.sweep.objectives import objective_values
from harness.sweep.record import Metric
from harness.sweep.space import plan_trial
from harness.sweep.trials.study import BranchStudy, Claim
from harness.wording.display import Display
from harness.wording.numbers import significant

_TELL_EVERY_S = 2.0
_HOPELESS = 3
"""Trials that all failed, after which a branch is given up: the fault is not in the settings."""


@dataclass
class Branch:
    """One branch's search in this process."""

    base: PlannedRun
    """The branch as the profile has it, as a trial."""
    study: BranchStudy
    """Its trials, shared with other processes."""
    num_told: int = 0
    """Trials that this process has seen to their end."""
    errors: list[str] = field(default_factory=list)
    """Of the trials that failed here."""

    @property
    def name(self) -> str:
        """Of the variant."""
        return self.base.request.variant


@dataclass
class _Going:
    """A claimed trial whose run goes on."""

    branch: Branch
    claim: Claim
    last_step: int = 0
    is_pruned: bool = False


class SweepWork(Work):
    """Claims trials branch by branch, so that an interrupted sweep leaves them nearly equal."""

    def __init__(
        self,
        branches: Sequence[Branch],
        *,
        metrics: Sequence[Metric],
        display: Display,
        on_change: Callable[[], object],
    ) -> None:
        """on_change: called after trials have ended, now and then; once more at the end is the
        caller's.
        """
        self._branches = branches
        self._metrics = metrics
        self._display = display
        self._on_change = on_change
        self._going: dict[str, _Going] = {}
        self._is_waiting = False
        self._is_changed, self._told_at = False, -math.inf

    @property
    def is_over(self) -> bool:
        return all(branch.study.is_over() for branch in self._branches)

    def next(self) -> Task | None:
        for branch in sorted(self._branches, key=self._num_begun):
            while (claim := branch.study.claim()) is not None:
                self._is_waiting = False
                task = self._task(branch, claim)
                if task is not None:
                    return task
        if not self._going and not self._is_waiting and not self.is_over:
            self._is_waiting = True
            self._display.say("other processes run the last trials; waiting for them")
        return None

    def on_steps(self, task: Task, steps: Sequence[StepReport]) -> bool:
        going = self._going[task.name]
        for step in steps:
            going.last_step = step.global_step
            if step.validation_loss is None:
                continue
            if going.branch.study.report(
                going.claim, step=step.global_step, loss=step.validation_loss
            ):
                going.is_pruned = True
                return False
        return True

    def on_end(self, task: Task, outcome: Outcome) -> None:
        """Tell the study how the trial ended.

        Raises:
            HarnessError: its process could not work, through no fault of the settings.
        """
        going = self._going.pop(task.name)
        branch, claim = going.branch, going.claim
        try:
            said = self._tell(going, task=task, outcome=outcome)
        except BaseException:
            branch.study.release(claim)
            raise
        self._told(branch, f"{task.name} {said}")

    def _told(self, branch: Branch, sentence: str) -> None:
        branch.num_told += 1
        self._display.say(sentence)
        self._is_changed = True
        if len(branch.errors) == branch.num_told == _HOPELESS:
            raise HarnessError(
                f"the first {_HOPELESS} trials of {branch.name} failed, the last one with: "
                f"{branch.errors[-1]}"
            )

    def tick(self) -> None:
        now = time.monotonic()
        if self._is_changed and now - self._told_at >= _TELL_EVERY_S:
            self._is_changed, self._told_at = False, now
            self._on_change()

    def release_all(self) -> None:
        """Put back what was claimed and is not over, for this command or another process."""
        for going in self._going.values():
            going.branch.study.release(going.claim)
        self._going.clear()

    def _num_begun(self, branch: Branch) -> int:
        return branch.num_told + sum(going.branch is branch for going in self._going.values())

    def _task(self, branch: Branch, claim: Claim) -> Task | None:
        """The run of a trial; None where the branch refuses the settings, which is its outcome."""
        name = f"{branch.name} trial {claim.number}"
        going = _Going(branch, claim)
        try:
            planned = plan_trial(branch.base, claim.settings)
        except UsageError as error:
            self._told(branch, f"{name} {self._fail(going, str(error))}")
            return None
        except BaseException:
            branch.study.release(claim)
            raise
        self._going[name] = going
        branch.study.note(claim, run_id=planned.identity.run_id, stage_ends=_stage_ends(planned))
        return Task(name, planned)

    def _tell(self, going: _Going, *, task: Task, outcome: Outcome) -> str:
        """Tell the study, and return the same in words."""
        study, claim = going.branch.study, going.claim
        if going.is_pruned:
            study.note(claim, steps=going.last_step, **spent_when_stopped(task.planned))
            study.prune(claim)
            return f"pruned after step {going.last_step}"
        record = outcome.record
        if record is None:
            if outcome.exit_code == PausedError.exit_code:
                raise PausedError(
                    f"{task.name} was paused from another terminal, and the sweep with it; the "
                    "same command goes on"
                )
            if outcome.exit_code >= 0:
                error = HarnessError(outcome.error)
                error.exit_code = max(1, outcome.exit_code)
                raise error
            return self._fail(going, outcome.error or "its process died")
        if record.status is Status.FAILED:
            return self._fail(going, record.error or "it failed")
        try:
            values = objective_values(record, self._metrics)
        except ValueError as error:
            return self._fail(going, str(error))
        study.note(claim, steps=record.steps_done, **_times(record))
        study.complete(claim, [values[metric.name] for metric in self._metrics])
        return ", ".join(f"{name} {significant(value)}" for name, value in values.items())

    def _fail(self, going: _Going, error: str) -> str:
        going.branch.errors.append(error)
        going.branch.study.note(going.claim, steps=going.last_step)
        going.branch.study.fail(going.claim, error)
        return f"failed: {error}"


def _times(record: RunRecord) -> dict[str, float]:
    found = {"seconds": math.fsum(stage.seconds for stage in record.stages)}
    device_seconds = record.cost.train_device_seconds
    return found if device_seconds is None else {**found, "device_seconds": device_seconds}


def _stage_ends(planned: PlannedRun) -> dict[str, int]:
    plan = planned.plan
    return {
        stage.name: plan.first_step(index) + stage.steps for index, stage in enumerate(plan.stages)
    }


def spent_when_stopped(planned: PlannedRun) -> dict[str, float]:
    """Seconds of a pruned trial, from the checkpoint that it wrote when it was told to stop.

    Its checkpoints go then: it is not gone on with. Nothing is known, and nothing goes, where
    another trial of the same settings holds the run by now.
    """
    folder = RunFolder(planned.folder).checkpoints
    try:
        with held(planned.folder):
            checkpoint = CheckpointFolder(folder).latest()
            shutil.rmtree(folder, ignore_errors=True)
    except (BusyError, MismatchError):
        return {}
    if checkpoint is None:
        return {}
    stages = {checkpoint.state["stage"]: checkpoint.state}
    stages |= {result["stage"]: result for result in checkpoint.state["results"]}
    return {
        name: math.fsum(stage[name] for stage in stages.values())
        for name in ("seconds", "device_seconds")
    }
