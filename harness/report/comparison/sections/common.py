"""Cells and words that several sections share."""

import statistics
from collections.abc import Sequence

from harness.report.comparison.facts import Facts, ReportRun
from harness.report.page.content import Blank, Cell, Column
from harness.wording.numbers import digits_for, number, plain

NOT_COMPARED = Blank(
    "These runs were not compared; run `harness compare --from RUN RUN ...` to compare them."
)
ARM_WORDS = {
    "audio": "matching sound",
    "shuffled": "mismatched sound",
    "chance": "mismatched sound by chance",
    "silence": "silence",
    "text_only": "caption only",
    "real": "real picture",
}
"""The arms, in words."""


def arm_word(arm: str) -> str:
    """An arm in words; one that is not known keeps its name."""
    return ARM_WORDS.get(arm, plain(arm).replace("_", " "))


def branch_cell(facts: Facts, branch: str) -> Cell:
    """A branch with its marker, linked to its runs."""
    return Cell(plain(branch), href=branch_anchor(facts, branch), branch=facts.index(branch))


def branch_anchor(facts: Facts, branch: str) -> str:
    """Link to the first run of a branch in the list of runs."""
    own = [run for run in facts.runs if run.branch == branch]
    return own[0].anchor if own else "#runs"


def branch_columns(facts: Facts) -> tuple[Column, ...]:
    """A column of numbers for each branch."""
    return tuple(
        Column(plain(branch), is_number=True, branch=facts.index(branch))
        for branch in facts.branches
    )


def arm_cells(facts: Facts, name: str, *, arm: str) -> tuple[Cell, ...]:
    """An arm, and each branch's score in it: mean over seeds."""
    means = {}
    for branch in facts.branches:
        found = (run.value(name, arm=arm) for run in facts.of_branch(branch))
        means[branch] = mean([value for value in found if value is not None])
    digits = digits_for(means.values())
    return (
        Cell(arm_word(arm)),
        *(
            Cell(number(value, digits=digits), href=branch_anchor(facts, branch))
            for branch, value in means.items()
        ),
    )


def run_cell(run: ReportRun) -> Cell:
    """A run by branch and seed, linked to its entry, where its id is."""
    return Cell(f"{plain(run.branch)}, seed {run.seed}", href=run.anchor)


def mean(values: Sequence[float]) -> float | None:
    """Mean, or None of nothing."""
    return statistics.fmean(values) if values else None


def sd(values: Sequence[float]) -> float | None:
    """Standard deviation, or None below two values."""
    return statistics.stdev(values) if len(values) > 1 else None


def better(higher_is_better: bool) -> str:
    """Direction of a metric, as arrow and word."""
    return "↑ higher" if higher_is_better else "↓ lower"
