"""Best so far, Pareto front, learning curves of the trials."""

import math

from harness.report.page.content import Blank, Cell, Column, Figure, Part, Section, Table
from harness.report.sweep import figures
from harness.report.sweep.facts import Spent, SweepFacts, default_trial
from harness.report.sweep.figures import Line, Mark, SearchPoint
from harness.report.sweep.sections.common import (
    OUTLIERS,
    axis_label,
    branch_cell,
    direction_words,
    index_of,
    mark_of,
    state_cell,
    trial_cell,
)
from harness.sweep.record import BranchSweep, Metric, TrialRecord, TrialState
from harness.wording.numbers import count, duration, listed, metric_label, plain, significant

_PROGRESS = "Best so far against budget"
_FRONT = "Pareto front"
_CURVES = "Learning curves of the trials"


def best_so_far(facts: SweepFacts) -> Section:
    """The best value against optimiser steps and device time spent."""
    spent = {branch.variant: facts.spent(branch) for branch in facts.branches}
    drawn = [
        branch
        for branch in facts.branches
        if any(found.best is not None for found in spent[branch.variant])
    ]
    parts: list[Part] = []
    without = [plain(b.variant) for b in facts.branches if b not in drawn]
    if drawn:
        parts.append(_progress_figure(facts, drawn, spent))
    if without:
        parts.append(Blank(f"{listed(without)}: no trial is complete."))
    unknown = [
        plain(branch.variant)
        for branch in drawn
        if any(found.device_seconds is None for found in spent[branch.variant])
    ]
    if unknown:
        parts.append(
            Blank(
                f"Device time of {listed(unknown)}: a trial that has ended has none recorded, so "
                "what was spent after it is unknown."
            )
        )
    return Section("progress", _PROGRESS, parts)


def _progress_figure(
    facts: SweepFacts, drawn: list[BranchSweep], spent: dict[str, list[Spent]]
) -> Figure:
    points = {
        index_of(facts, branch): [
            SearchPoint(
                mark=mark_of(branch, found.trial),
                budget=(
                    float(found.steps),
                    None if found.device_seconds is None else found.device_seconds / 60,
                ),
                value=facts.value(found.trial)
                if found.trial.state is TrialState.COMPLETE
                else None,
                best=found.best,
            )
            for found in spent[branch.variant]
        ]
        for branch in drawn
    }
    has_seconds = any(found.device_seconds for branch in drawn for found in spent[branch.variant])
    wide, narrow = figures.progress(
        points,
        y_label=axis_label(facts.metric),
        is_higher_better=facts.metric.is_higher_better,
        has_seconds=has_seconds,
    )
    words = []
    for branch in drawn:
        last = spent[branch.variant][-1]
        words.append(
            f"{plain(branch.variant)}: best {significant(last.best)} after {last.steps:,} steps "
            f"in {count(len(spent[branch.variant]), 'trial')}"
        )
    rows = tuple(
        (
            branch_cell(facts, branch),
            trial_cell(facts, branch, found.trial),
            state_cell(found.trial),
            Cell(f"{found.steps:,}"),
            Cell(duration(found.device_seconds)),
            Cell(significant(facts.value(found.trial))),
            Cell(significant(found.best)),
        )
        for branch in drawn
        for found in spent[branch.variant]
    )
    table = Table(
        "Trials in the order in which they ended",
        (
            Column("branch"),
            Column("trial"),
            Column("state"),
            Column("steps spent", is_number=True),
            Column("device time spent", is_number=True),
            Column(metric_label(facts.metric.name), is_number=True),
            Column("best so far", is_number=True),
        ),
        rows,
        is_folded=True,
    )
    return Figure(
        "progress-plot",
        f"Best {metric_label(facts.metric.name)} so far against what was spent",
        alt=f"{direction_words(facts.metric)}. {'; '.join(words)}.",
        wide=wide,
        narrow=narrow,
        legend=(
            "Line: best value so far. Every trial that ended is counted with its steps, pruned and "
            "failed ones too; compare branches at the same position on the x axis.",
            "Small marks: complete trials; large with an edge: the best; hollow: the defaults; × "
            "beyond the dotted line: pruned, failed or lost, without a value.",
            OUTLIERS,
        ),
        data=table,
    )


def pareto_front(facts: SweepFacts) -> Section | None:
    """The first metric against each other one; None with a single metric."""
    if len(facts.record.metrics) < 2:
        return None
    parts: list[Part] = []
    for place, other in enumerate(facts.record.metrics[1:]):
        parts.append(_front_figure(facts, other, place=place))
    rows = tuple(
        (
            branch_cell(facts, branch),
            trial_cell(facts, branch, trial),
            *(Cell(significant(facts.value(trial, m))) for m in facts.record.metrics),
        )
        for branch in facts.branches
        for trial in branch.trials
        if trial.number in branch.front
    )
    if rows:
        columns = (Column("branch"), Column("trial"))
        names = (Column(direction_words(m), is_number=True) for m in facts.record.metrics)
        parts.append(Table("Trials on the front", (*columns, *names), rows))
    return Section(
        "front",
        _FRONT,
        parts,
        lead="A trial is on the front when no other of its branch is at least as good in every "
        "metric and better in one.",
        is_brief=True,
    )


def _front_figure(facts: SweepFacts, other: Metric, *, place: int) -> Part:
    points: dict[int, list[tuple[float, float, Mark, bool]]] = {}
    for branch in facts.branches:
        found = [
            (x, y, mark_of(branch, trial), trial.number in branch.front)
            for trial in facts.complete(branch)
            if (x := facts.value(trial)) is not None
            and (y := facts.value(trial, other)) is not None
        ]
        if found:
            points[index_of(facts, branch)] = found
    name = f"{metric_label(facts.metric.name)} against {metric_label(other.name)}"
    if not points:
        return Blank(f"{name}: no complete trial has both.")
    wide, narrow = figures.front(
        points,
        x_label=axis_label(facts.metric).replace("\n", " "),
        y_label=axis_label(other),
        has_line=len(facts.record.metrics) == 2,
        name=f"front-{place}",
    )
    total = sum(len(found) for found in points.values())
    on_front = sum(is_on for found in points.values() for *_, is_on in found)
    return Figure(
        f"front-{place}-plot",
        name,
        alt=f"{count(total, 'complete trial')}, {on_front} on the front; {direction_words(other)}, "
        f"{direction_words(facts.metric)}. The table below names those on the front.",
        wide=wide,
        narrow=narrow,
        legend=(
            "Strong marks: on the front"
            + (", joined by the dashed line" if len(facts.record.metrics) == 2 else "")
            + ". Faint marks: beaten. Large with an edge: the best by the first metric; "
            "hollow: the defaults.",
        ),
    )


def learning_curves(facts: SweepFacts) -> Section:
    """Validation losses over the steps, a figure a branch."""
    parts: list[Part] = []
    for branch in facts.branches:
        parts.append(_curves_figure(facts, branch))
    return Section("curves", _CURVES, parts)


def _curves_figure(facts: SweepFacts, branch: BranchSweep) -> Part:
    name, index = plain(branch.variant), index_of(facts, branch)
    drawn = [t for t in branch.trials if any(math.isfinite(y) for _, y in t.validation_losses)]
    if not drawn:
        return Blank(f"{name}: no trial has reported a validation loss.")
    stages, is_common = _stages(branch, drawn)
    wide, narrow = figures.curves(
        [_line(branch, trial) for trial in drawn],
        stages=stages,
        branch=index,
        name=f"curves-{index}",
    )
    pruned = sum(trial.state is TrialState.PRUNED for trial in drawn)
    last = {trial.number: trial.validation_losses[-1] for trial in drawn}
    rows = tuple(
        (
            trial_cell(facts, branch, trial),
            state_cell(trial),
            Cell(str(len(trial.validation_losses))),
            Cell(f"{last[trial.number][0]:,}"),
            Cell(significant(last[trial.number][1])),
            Cell(significant(min(y for _, y in trial.validation_losses))),
        )
        for trial in drawn
    )
    default = default_trial(branch)
    best = facts.best(branch)
    ends = "; ".join(
        f"{word} ends at {significant(last[trial.number][1])}"
        for word, trial in (("the best trial", best), ("the defaults' trial", default))
        if trial is not None and trial.number in last
    )
    boundaries = "Dotted vertical lines: planned ends of the stages"
    if not is_common:
        boundaries += " of the defaults; other trials may have others"
    return Figure(
        f"curves-{index}-plot",
        f"{name}: validation loss over the optimiser steps",
        alt=f"Validation loss of {count(len(drawn), 'trial')} of {name}, {pruned} pruned"
        + (f"; {ends}" if ends else "")
        + ".",
        wide=wide,
        narrow=narrow,
        legend=(
            "Faint lines: trials. Strong line: the best. Dashed line: the defaults. ×: where a "
            f"trial was pruned or failed. {boundaries}.",
            "Losses far out above the others (3 quartile distances beyond the quartile) are cut "
            "off at the upper edge; the table holds them.",
        ),
        data=Table(
            f"{name}: validation losses of the trials",
            (
                Column("trial"),
                Column("state"),
                Column("losses reported", is_number=True),
                Column("last at step", is_number=True),
                Column("last", is_number=True),
                Column("lowest", is_number=True),
            ),
            rows,
        ),
        branches=(index,),
    )


def _line(branch: BranchSweep, trial: TrialRecord) -> Line:
    known = [(step, y) for step, y in trial.validation_losses if math.isfinite(y)]
    mark = mark_of(branch, trial)
    if trial == default_trial(branch) and mark is not Mark.BEST:
        mark = Mark.DEFAULT
    return Line(
        steps=tuple(float(step) for step, _ in known),
        losses=tuple(y for _, y in known),
        is_cut=trial.state in (TrialState.PRUNED, TrialState.FAILED),
        mark=mark,
    )


def _stages(branch: BranchSweep, drawn: list[TrialRecord]) -> tuple[list[tuple[str, float]], bool]:
    """Name and last step of each stage, of the defaults where trials differ; whether they agree."""
    planned = [trial for trial in drawn if trial.stage_ends]
    if not planned:
        return [], True
    first = next((t for t in planned if t == default_trial(branch)), planned[0])
    ends = sorted(first.stage_ends.items(), key=lambda item: item[1])
    return (
        [(plain(name), float(end)) for name, end in ends],
        all(trial.stage_ends == first.stage_ends for trial in planned),
    )
