"""What each branch was given."""

from harness.report.page.content import Blank, Cell, Column, Paragraph, Part, Section, Table
from harness.report.sweep.facts import SweepFacts, num_counted
from harness.report.sweep.sections.common import branch_cell
from harness.sweep.record import BranchSweep, TrialState
from harness.wording.numbers import count, duration, listed, plain

_COUNTED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED)
_OTHER = (TrialState.LOST, TrialState.WAITING, TrialState.RUNNING)


def fairness(facts: SweepFacts) -> Section:
    """Trials, dimensions and what was spent, branch by branch."""
    parts: list[Part] = [Paragraph(text, tone="warn") for text in _warnings(facts)]
    shown = [s for s in _OTHER if any(s.value in branch.counts for branch in facts.branches)]
    rows = tuple(_row(facts, branch, shown) for branch in facts.branches)
    parts.append(
        Table(
            "What each branch was given",
            (
                Column("branch"),
                Column("asked", is_number=True),
                Column("counted", is_number=True, note="complete, pruned or failed"),
                *(Column(state.value, is_number=True) for state in (*_COUNTED, *shown)),
                Column("dimensions searched", is_number=True),
                Column("optimiser steps", is_number=True),
                Column("device time", is_number=True),
            ),
            rows,
        )
    )
    if any(_seconds(branch) is None for branch in facts.branches):
        parts.append(Blank("Device time: blank if a trial that trained has none recorded."))
    lost = sum(branch.counts.get("lost", 0) for branch in facts.branches)
    if lost:
        parts.append(
            Paragraph(
                f"{count(lost, 'trial')} lost, the worker dead or stopped: another trial with "
                "the same settings continued each run, so they are not counted. Steps that a "
                "dead worker had done since its last checkpoint were repeated and are not in "
                "these numbers."
            )
        )
    if len(facts.branches) == 1:
        parts.append(
            Paragraph(
                "Only one branch was searched, so there is no other to compare it with. A "
                "comparison of a tuned branch with an untuned one is not fair."
            )
        )
    return Section("fairness", "Fairness across branches", parts, is_brief=True)


def _warnings(facts: SweepFacts) -> list[str]:
    counted = {plain(branch.variant): num_counted(branch) for branch in facts.branches}
    numbers = listed(f"{name} {number}" for name, number in counted.items())
    found = []
    if not facts.is_finished:
        found.append(
            f"The sweep is not finished: {numbers} of {facts.record.num_trials} trials"
            f"{' each' if len(counted) > 1 else ''}."
        )
    if len(set(counted.values())) > 1:
        found.append(
            f"The branches have unequal numbers of trials ({numbers}), and more trials mean more "
            "chances, so their best values are not comparable."
        )
    sizes = {len(branch.space) for branch in facts.branches}
    if len(sizes) > 1:
        found.append(
            "The branches have spaces of different size: the same number of trials searches a "
            "larger space less thoroughly."
        )
    return found


def _seconds(branch: BranchSweep) -> float | None:
    known = [trial.device_seconds for trial in branch.trials if trial.steps > 0]
    if any(seconds is None for seconds in known):
        return None
    return sum(trial.device_seconds or 0.0 for trial in branch.trials)


def _row(facts: SweepFacts, branch: BranchSweep, shown: list[TrialState]) -> tuple[Cell, ...]:
    return (
        branch_cell(facts, branch),
        Cell(str(facts.record.num_trials)),
        Cell(str(num_counted(branch))),
        *(Cell(str(branch.counts.get(state.value, 0))) for state in (*_COUNTED, *shown)),
        Cell(str(len(branch.space))),
        Cell(f"{sum(trial.steps for trial in branch.trials):,}"),
        Cell(duration(_seconds(branch))),
    )
