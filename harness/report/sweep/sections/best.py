"""The best settings next to the defaults, and how to use them."""

from typing import Any

from harness.report.page.content import (
    Blank,
    Cell,
    Column,
    Command,
    Paragraph,
    Part,
    Section,
    Table,
)
from harness.report.sweep.facts import SweepFacts, default_trial
from harness.report.sweep.sections.common import axis_label, index_of
from harness.report.sweep.words import apart, relative, setting, why_no_value
from harness.sweep.record import BranchSweep
from harness.wording.numbers import metric_label, plain, significant

_TITLE = "Best settings"
_NONE = object()


def best_settings(facts: SweepFacts) -> Section:
    """A table a branch, the file of the settings, and the command that runs them."""
    parts: list[Part] = []
    for branch in facts.branches:
        parts += _of_branch(facts, branch)
    return Section("best", _TITLE, parts, is_brief=True)


def _of_branch(facts: SweepFacts, branch: BranchSweep) -> list[Part]:
    name = plain(branch.variant)
    best, default = facts.best(branch), default_trial(branch)
    if best is None:
        return [Blank(f"{name}: no trial is complete, so there are no best settings.")]
    parts: list[Part] = [_table(facts, branch)]
    if default is None or facts.value(default) is None:
        parts.append(Blank(f"The defaults' values of {name}: {why_no_value(default)}."))
    if branch.config is None:
        parts.append(Blank(f"No file of {name}'s best settings has been written yet."))
        return parts
    parts.append(Paragraph(f"The best settings of {name} as a file: {plain(branch.config)}."))
    return [*parts, Command(tuple(plain(line) for line in facts.run_commands(branch)))]


def _table(facts: SweepFacts, branch: BranchSweep) -> Table:
    best, default = facts.best(branch), default_trial(branch)
    index = index_of(facts, branch)
    rows: list[tuple[Cell, ...]] = []
    for metric in facts.record.metrics:
        one = None if best is None else facts.value(best, metric)
        other = None if default is None else facts.value(default, metric)
        texts = (significant(one), significant(other))
        change = ""
        if one is not None and other is not None:
            texts, change = apart(one, other), relative(one, than=other)
        direction = axis_label(metric).split("\n")[1].strip("()")
        rows.append(
            (
                Cell(metric_label(metric.name), note=direction),
                Cell(texts[0]),
                Cell(texts[1]),
                Cell(change),
            )
        )
    for dimension in branch.space:
        mine = _NONE if best is None else best.params.get(dimension.name, _NONE)
        theirs = _NONE if default is None else default.params.get(dimension.name, _NONE)
        is_changed = mine is not _NONE and theirs is not _NONE and mine != theirs
        rows.append(
            (
                Cell(plain(dimension.name), note=_range(dimension.low, dimension.high)),
                _cell(mine),
                _cell(theirs),
                Cell("changed" if is_changed else ""),
            )
        )
    return Table(
        f"{plain(branch.variant)}: best settings next to the defaults",
        (
            Column("setting"),
            Column(f"best, trial {best.number}" if best else "best", is_number=True, branch=index),
            Column("defaults", is_number=True),
            Column("difference"),
        ),
        tuple(rows),
    )


def _cell(value: Any) -> Cell:
    return Cell("", note="not in effect") if value is _NONE else Cell(setting(value))


def _range(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"searched {low:.4g} to {high:.4g}"
