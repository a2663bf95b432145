"""Importances, slices and parallel coordinates of the parameters."""

from harness.report.page.content import Blank, Cell, Column, Figure, Part, Section, Table
from harness.report.sweep import figures
from harness.report.sweep.facts import SweepFacts
from harness.report.sweep.figures import Mark
from harness.report.sweep.importance import EVALUATOR, parameter_importances
from harness.report.sweep.sections.common import (
    OUTLIERS,
    axes_of,
    axis_label,
    direction_words,
    index_of,
    key_line,
    mark_of,
    positions,
)
from harness.report.sweep.words import setting
from harness.sweep.record import BranchSweep, TrialState
from harness.wording.numbers import count, listed, metric_label, plain, significant

_NUMBERS = "The numbers are in the table of all trials."


def importances(facts: SweepFacts) -> Section:
    """How much each parameter matters for reaching the best tenth of the trials."""
    parts: list[Part] = []
    for branch in facts.branches:
        parts += _importances(facts, branch)
    return Section("importances", "Importance of the parameters", parts, is_brief=True)


def _importances(facts: SweepFacts, branch: BranchSweep) -> list[Part]:
    name, index = plain(branch.variant), index_of(facts, branch)
    found = parameter_importances(facts, branch)
    if not found.shares:
        return [Blank(f"{name}: {found.reason}.")]
    shares = {plain(key): share for key, share in found.shares.items()}
    wide, narrow = figures.importances(shares, branch=index, name=f"importances-{index}")
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    metric = metric_label(facts.metric.name)
    caution = (
        f" With {count(found.num_trials, 'trial')} the best tenth holds fewer than five, so that "
        "the order is approximate."
        if found.num_trials < 50
        else ""
    )
    return [
        Figure(
            f"importances-{index}-plot",
            f"{name}: what matters for {metric}",
            alt="; ".join(f"{key} {share:.2f}" for key, share in ordered),
            wide=wide,
            narrow=narrow,
            legend=(
                f"Share of each parameter in what sets the best tenth of {found.num_trials} "
                f"complete trials apart from the rest, by PED-ANOVA (Optuna's {EVALUATOR})."
                + caution,
                "Importance depends on the ranges that were searched: a narrow range makes a "
                "parameter unimportant. Each parameter is considered alone, without interactions.",
                *(plain(text) for text in found.left_out),
            ),
            data=Table(
                f"{name}: importances",
                (Column("parameter"), Column("share", is_number=True)),
                tuple((Cell(key), Cell(f"{share:.3f}")) for key, share in ordered),
            ),
            branches=(index,),
        )
    ]


def slices(facts: SweepFacts) -> Section:
    """The value against each parameter."""
    return Section("slices", "Slices", [_slices(facts, branch) for branch in facts.branches])


def _slices(facts: SweepFacts, branch: BranchSweep) -> Part:
    name, index = plain(branch.variant), index_of(facts, branch)
    axes = axes_of(branch)
    complete = facts.complete(branch)
    if not axes or not complete:
        return Blank(f"{name}: {'no trial is complete' if axes else 'no parameter was drawn'}.")
    points = [(positions(branch, t), facts.value(t), mark_of(branch, t)) for t in complete]
    ended = [
        trial
        for trial in branch.trials
        if trial.state in (TrialState.PRUNED, TrialState.FAILED) and trial.params
    ]
    points += [(positions(branch, trial), None, Mark.ENDED) for trial in ended]
    wide, narrow = figures.slices(
        axes,
        points,
        y_label=axis_label(facts.metric),
        is_higher_better=facts.metric.is_higher_better,
        branch=index,
        name=f"slices-{index}",
    )
    best = facts.best(branch)
    at = (
        ", ".join(f"{plain(key)} {setting(value)}" for key, value in best.params.items())
        if best is not None
        else "none"
    )
    conditional = [
        plain(dimension.name)
        for dimension in branch.space
        if any(dimension.name not in t.params for t in branch.trials if t.params)
    ]
    return Figure(
        f"slices-{index}-plot",
        f"{name}: {direction_words(facts.metric)} against each parameter",
        alt=f"{count(len(complete), 'complete trial')} over {count(len(axes), 'parameter')}; the "
        f"best at {at}. The table of all trials holds the numbers.",
        wide=wide,
        narrow=narrow,
        legend=(
            key_line(index),
            *(
                ("Above the dotted line: trials without a value, shown by their settings alone.",)
                if ended
                else ()
            ),
            *((f"Not in every trial: {listed(conditional)}.",) if conditional else ()),
            OUTLIERS,
            _NUMBERS,
        ),
        branches=(index,),
    )


def parallel_coordinates(facts: SweepFacts) -> Section:
    """A line a trial through its parameters to its value."""
    return Section(
        "coordinates",
        "Parallel coordinates",
        [_coordinates(facts, branch) for branch in facts.branches],
    )


def _coordinates(facts: SweepFacts, branch: BranchSweep) -> Part:
    name, index = plain(branch.variant), index_of(facts, branch)
    axes = axes_of(branch)
    points = [
        (positions(branch, trial), value, mark_of(branch, trial))
        for trial in facts.complete(branch)
        if (value := facts.value(trial)) is not None
    ]
    if not axes or len(points) < 2:
        reason = "fewer than two trials are complete" if axes else "no parameter was drawn"
        return Blank(f"{name}: {reason}.")
    wide, narrow = figures.coordinates(
        axes,
        points,
        value_name=metric_label(facts.metric.name),
        is_higher_better=facts.metric.is_higher_better,
        branch=index,
        name=f"coordinates-{index}",
    )
    values = [value for _, value, _ in points]
    return Figure(
        f"coordinates-{index}-plot",
        f"{name}: complete trials through their parameters",
        alt=f"{count(len(points), 'line')} through {listed(axis.name for axis in axes)} to "
        f"{metric_label(facts.metric.name)}, from {significant(min(values))} to "
        f"{significant(max(values))}. The table of all trials holds the numbers.",
        wide=wide,
        narrow=narrow,
        legend=(
            "One line per complete trial; the better its value, the stronger. Thick: the best. "
            "Dashed: the defaults. A line breaks, with a dot at its end, where a trial lacks "
            "this parameter.",
            "Each axis runs from the smallest to the largest value tried; a value far out on the "
            f"bad side lies at the end with ≤ or ≥. {_NUMBERS}",
        ),
        branches=(index,),
    )
