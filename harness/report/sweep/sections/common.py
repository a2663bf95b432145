"""Marks, cells and words that several sections share."""

import json
from typing import Any
from urllib.parse import quote

from harness.report.page.content import Cell
from harness.report.page.style import GLYPHS
from harness.report.sweep.facts import SweepFacts, default_trial
from harness.report.sweep.figures import Axis, Mark
from harness.sweep.record import BranchSweep, Metric, TrialRecord, TrialState
from harness.wording.numbers import metric_label, plain

STATE_WORDS = {
    TrialState.WAITING: "waiting",
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAILED: "failed",
    TrialState.LOST: "lost",
}
_TONES = {TrialState.FAILED: "bad", TrialState.PRUNED: "muted", TrialState.LOST: "muted"}


def index_of(facts: SweepFacts, branch: BranchSweep) -> int:
    """Which colour and marker a branch has, everywhere."""
    return [found.variant for found in facts.branches].index(branch.variant)


def branch_cell(facts: SweepFacts, branch: BranchSweep) -> Cell:
    """A branch with its marker, linked to its trials."""
    index = index_of(facts, branch)
    anchor = f"#trials-{index + 1}-caption" if branch.trials else "#trials"
    return Cell(plain(branch.variant), href=anchor, branch=index)


def trial_cell(facts: SweepFacts, branch: BranchSweep, trial: TrialRecord) -> Cell:
    """A trial by its number, linked to its row."""
    notes = [
        *(["best"] if trial.number == branch.best else []),
        *(["defaults"] if trial.is_default else []),
    ]
    return Cell(str(trial.number), href=trial_anchor(facts, branch, trial), note=", ".join(notes))


def trial_id(facts: SweepFacts, branch: BranchSweep, trial: TrialRecord) -> str:
    """Id of the row of a trial."""
    return f"trial-{index_of(facts, branch)}-{trial.number}"


def trial_anchor(facts: SweepFacts, branch: BranchSweep, trial: TrialRecord) -> str:
    """Link to it."""
    return f"#{trial_id(facts, branch, trial)}"


def state_cell(trial: TrialRecord) -> Cell:
    """How far a trial is."""
    return Cell(STATE_WORDS[trial.state], tone=_TONES.get(trial.state, ""))


def run_cell(facts: SweepFacts, trial: TrialRecord) -> Cell:
    """The run of a trial, linked where it lies on disk."""
    if trial.run_id is None:
        return Cell("")
    folder = facts.run_folder(trial)
    href = None if folder is None else f"../../validation/{quote(trial.run_id, safe='.-_~')}/"
    return Cell(plain(trial.run_id), href=href)


def mark_of(branch: BranchSweep, trial: TrialRecord) -> Mark:
    """What a trial is drawn as."""
    if trial.state is not TrialState.COMPLETE:
        return Mark.ENDED
    if trial.number == branch.best:
        return Mark.BEST
    is_default = trial == default_trial(branch)
    return Mark.DEFAULT if is_default else Mark.VALUE


def axis_label(metric: Metric) -> str:
    """A metric with its direction, beneath an axis."""
    direction = "higher" if metric.is_higher_better else "lower"
    return f"{metric_label(metric.name)}\n({direction} is better)"


def direction_words(metric: Metric) -> str:
    """A metric with its direction, in a line."""
    return axis_label(metric).replace("\n", " ")


def key_line(index: int) -> str:
    """What the marks of a branch mean."""
    glyph = GLYPHS[index % len(GLYPHS)]
    return (
        f"{glyph} small: complete trials; large with an edge: the best; hollow: the defaults; "
        "× without a value: pruned, failed or lost."
    )


OUTLIERS = (
    "A trial far out on the bad side (3 quartile distances beyond the quartile) is drawn as ▲ or ▼ "
    "at the edge, so that the others can be distinguished; its value is in the table of all trials."
)


def axes_of(branch: BranchSweep) -> tuple[Axis, ...]:
    """The space as axes, in its order."""
    return tuple(
        Axis(
            plain(dimension.name),
            is_log=dimension.is_log,
            is_integer=dimension.kind == "int",
            labels=tuple(choice_word(choice) for choice in dimension.choices)
            if dimension.kind == "categorical"
            else (),
        )
        for dimension in branch.space
    )


def choice_word(choice: Any) -> str:
    """A choice as an axis names it; never blank."""
    from harness.report.sweep.words import setting

    return setting(choice) or "(blank)"


def positions(branch: BranchSweep, trial: TrialRecord) -> tuple[float | None, ...]:
    """Where a trial lies on each axis; None where it has no such parameter."""
    found: list[float | None] = []
    for dimension in branch.space:
        value = trial.params.get(dimension.name)
        if dimension.kind == "categorical":
            keys = [json.dumps(choice, sort_keys=True) for choice in dimension.choices]
            key = json.dumps(value, sort_keys=True)
            is_there = dimension.name in trial.params and key in keys
            found.append(float(keys.index(key)) if is_there else None)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found.append(float(value))
        else:
            found.append(None)
    return tuple(found)
