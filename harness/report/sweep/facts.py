"""What a sweep's report shows, told from its record; nothing is computed twice."""

import math
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from harness.records.folders import ResultsFolder
from harness.sweep.on_test import OnTest, read_on_test
from harness.sweep.record import BranchSweep, Metric, SweepRecord, TrialRecord, TrialState


@dataclass(frozen=True)
class Spent:
    """A trial that has ended, with what the branch had spent by then."""

    trial: TrialRecord
    steps: int
    """Optimiser steps of this trial and all that ended before it."""
    device_seconds: float | None
    """Device seconds of the same; None from the first trial on whose seconds are not known."""
    best: float | None
    """Best value so far, this one included."""


@dataclass(frozen=True)
class SweepFacts:
    """One sweep."""

    record: SweepRecord
    """Everything about it."""
    folder: Path
    """Where it lies, as the reader named it."""

    @property
    def branches(self) -> tuple[BranchSweep, ...]:
        """One search each, in the order of their colours."""
        return tuple(self.record.branches)

    @property
    def metric(self) -> Metric:
        """The one that decides what is best."""
        return self.record.metrics[0]

    @property
    def results(self) -> Path:
        """The folder of runs and caches."""
        return self.folder.resolve().parent.parent

    @cached_property
    def on_test(self) -> dict[str, OnTest]:
        """By branch, best settings against the defaults on the test clips."""
        return {
            branch.variant: read_on_test(
                branch, results=self.results, settings=self.record.comparison
            )
            for branch in self.branches
        }

    def value(self, trial: TrialRecord, metric: Metric | None = None) -> float | None:
        """Its value of a metric, of the first without one; None of a trial that has none."""
        value = trial.values.get((metric or self.metric).name)
        return value if value is not None and math.isfinite(value) else None

    def is_better(self, first: float, second: float) -> bool:
        """Whether `first` beats `second` by the metric that decides."""
        return first > second if self.metric.is_higher_better else first < second

    def best(self, branch: BranchSweep) -> TrialRecord | None:
        """The best complete trial."""
        return None if branch.best is None else branch.trial(branch.best)

    def config(self, branch: BranchSweep) -> Path | None:
        """The TOML of the best settings, as it is named in a command."""
        return None if branch.config is None else self.folder / branch.config

    def run_folder(self, trial: TrialRecord) -> Path | None:
        """The run that a trial is, where it lies on disk."""
        if trial.run_id is None or Path(trial.run_id).name != trial.run_id:
            return None
        folder = ResultsFolder(self.results).trial(trial.run_id).path
        return folder if folder.is_dir() else None

    def complete(self, branch: BranchSweep) -> list[TrialRecord]:
        """Trials with a value, by number."""
        return [
            trial
            for trial in branch.trials
            if trial.state is TrialState.COMPLETE and self.value(trial) is not None
        ]

    def spent(self, branch: BranchSweep) -> list[Spent]:
        """Trials that have ended, in the order in which they ended."""
        ended = [t for t in branch.trials if t.state.counts or t.state is TrialState.LOST]
        found: list[Spent] = []
        steps, best = 0, None
        seconds: float | None = 0.0
        for trial in sorted(ended, key=lambda t: (t.finished_at or "~", t.number)):
            steps += trial.steps
            if trial.device_seconds is not None and seconds is not None:
                seconds += trial.device_seconds
            elif trial.steps > 0:
                seconds = None
            value = self.value(trial) if trial.state is TrialState.COMPLETE else None
            if value is not None and (best is None or self.is_better(value, best)):
                best = value
            found.append(Spent(trial, steps, seconds, best))
        return found

    @property
    def is_finished(self) -> bool:
        """Whether every branch has the trials that were asked for."""
        return all(num_counted(branch) >= self.record.num_trials for branch in self.branches)

    def run_commands(self, branch: BranchSweep) -> tuple[str, ...]:
        """The command that puts the best settings on the test clips, with a seed of its own."""
        config = self.config(branch)
        if config is None:
            return ()
        seed = 0 if self.record.seed != 0 else 1
        words = ["harness", "run", "--config", str(config), "--seed", str(seed)]
        return (shlex.join([*words, *self.record.shared_words]),)

    @property
    def test_command(self) -> str:
        """The command that compares best and defaults on the test clips."""
        command = self.record.command
        return command if self.record.test_seeds else f"{command} --test-seeds 3"


def default_trial(branch: BranchSweep) -> TrialRecord | None:
    """The branch as the profile has it; the latest where its worker died and it was retried."""
    found = [trial for trial in branch.trials if trial.is_default]
    complete = [trial for trial in found if trial.state is TrialState.COMPLETE]
    return next(reversed(complete or found), None)


def num_counted(branch: BranchSweep) -> int:
    """Trials that count towards the asked number."""
    return sum(trial.state.counts for trial in branch.trials)
