"""Whether the branches were tuned alike."""

from harness.comparison.tuning import (
    inequalities,
    inequality_sentence,
    tuning_by_branch,
)
from harness.report.comparison.facts import Facts
from harness.report.comparison.sections.common import branch_cell
from harness.report.page.content import Blank, Cell, Column, Paragraph, Part, Section, Table
from harness.settings.branch_config import Tuning
from harness.wording.numbers import metric_label, number, plain

_TITLE = "Sweep fairness"
_STATES = ("complete", "pruned", "failed")


def sweep_fairness(facts: Facts) -> Section:
    """Each branch's trials side by side; blank where no record says that settings were tuned."""
    tuning = _tuning(facts)
    if not tuning:
        return Section(
            "sweep",
            _TITLE,
            [
                Blank(
                    "No record of these runs says that a branch was tuned by a sweep, so there are "
                    "no numbers of trials to compare."
                )
            ],
        )
    parts: list[Part] = []
    split_hash = facts.runs[0].record.identity.split_hash if facts.runs else ""
    if facts.comparison is not None:
        split_hash = facts.comparison.eligibility.split_hash
    unequal = inequalities(facts.branches, tuning=tuning, split_hash=split_hash)
    if unequal:
        parts.append(Paragraph(plain(inequality_sentence(unequal)), tone="warn"))
    parts += [
        _table(facts, tuning),
        Paragraph(
            "Default and best are values on validation clips. The best of many looks better than "
            "it is; only the test clips show what was gained. Settings typed by hand or taken "
            "from a profile count as defaults; how those were found is not recorded."
        ),
    ]
    return Section(
        "sweep",
        _TITLE,
        parts,
        lead="Each branch should get the same number of trials, on the same validation clips.",
    )


def _tuning(facts: Facts) -> dict[str, Tuning]:
    records = [run.record for run in facts.runs]
    compared = {} if facts.comparison is None else facts.comparison.tuning
    return tuning_by_branch(records, known=compared)


def _table(facts: Facts, tuning: dict[str, Tuning]) -> Table:
    return Table(
        "How each branch's settings were found",
        (
            Column("branch"),
            Column("settings from"),
            Column("trials asked", is_number=True),
            Column("/".join(_STATES), is_number=True),
            Column("metric"),
            Column("default \u2192 best", is_number=True),
            Column("validation clips", is_number=True),
        ),
        tuple(
            (branch_cell(facts, branch), *_cells(tuning.get(branch))) for branch in facts.branches
        ),
    )


def _cells(tuning: Tuning | None) -> tuple[Cell, ...]:
    if tuning is None:
        return (Cell("defaults", note="profile and command line"), *[Cell("")] * 5)
    trial = "" if tuning.trial is None else f"trial {tuning.trial}"
    study = "" if tuning.study is None else f" of {plain(tuning.study)}"
    return (
        Cell(plain(tuning.sweep), note=f"{trial}{study}".strip()),
        Cell(str(tuning.num_trials)),
        Cell("/".join(str(tuning.trials.get(state, 0)) for state in _STATES))
        if tuning.trials
        else Cell(""),
        Cell("" if tuning.metric is None else metric_label(tuning.metric)),
        Cell(_change(tuning)),
        Cell("" if tuning.num_validation is None else str(tuning.num_validation)),
    )


def _change(tuning: Tuning) -> str:
    if tuning.value is None:
        return ""
    best = number(tuning.value, digits=4)
    if tuning.default_value is None:
        return best
    return f"{number(tuning.default_value, digits=4)} \u2192 {best}"
