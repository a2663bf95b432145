"""A sweep and its files, as scripts read them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.records.folders import SweepFolder
from harness.sweep.record import BranchSweep, SweepRecord, TrialState


@dataclass(frozen=True)
class Sweep:
    """A sweep that was saved."""

    record: SweepRecord
    """Every trial."""
    folder: Path
    """Where it lies."""

    def data(self, *, report: Path) -> dict[str, Any]:
        """For scripts; of a sweep of one branch its numbers stand at the top.

        report: its page.
        """
        branches = [self._branch(branch) for branch in self.record.branches]
        whole: dict[str, Any] = {
            "sweep": self.record.name,
            "record": str(SweepFolder(self.folder).record),
            "report": str(report),
        }
        if len(branches) == 1:
            return {**whole, **branches[0]}
        return {**whole, "branches": branches}

    def _branch(self, branch: BranchSweep) -> dict[str, Any]:
        best = None
        if branch.best is not None:
            trial = branch.trial(branch.best)
            best = {
                "trial": trial.number,
                "params": trial.params,
                "value": trial.values[self.record.metrics[0].name],
                "values": trial.values,
                "is_default": trial.is_default,
                "config": None if branch.config is None else str(self.folder / branch.config),
            }
        front = [branch.trial(number) for number in branch.front]
        return {
            "variant": branch.variant,
            "study": branch.study,
            "best": best,
            "front": [
                {"trial": trial.number, "params": trial.params, "values": trial.values}
                for trial in front
            ],
            "trials": {state.value: branch.counts.get(state.value, 0) for state in TrialState},
        }
