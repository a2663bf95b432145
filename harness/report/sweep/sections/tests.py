"""What the test clips say of the best settings, metric by metric."""

from harness.report.page.content import Blank, Bullets, Cell, Column, Part, Section, Table
from harness.report.sweep.facts import SweepFacts
from harness.sweep.on_test import OnTest
from harness.sweep.record import BranchSweep
from harness.wording.numbers import interval, metric_label, number, plain, probability


def on_test(facts: SweepFacts) -> Section | None:
    """A table a branch; None where no run has opened the test clips."""
    tested = [branch for branch in facts.branches if branch.test_runs]
    if not tested:
        return None
    parts: list[Part] = []
    for branch in tested:
        parts += _of_branch(branch, facts.on_test[branch.variant])
    seeds = ", ".join(str(runs.seed) for runs in tested[0].test_runs)
    return Section(
        "test",
        "On the test clips, metric by metric",
        parts,
        lead=f"Best settings and defaults were trained again with seeds {seeds}, none of them the "
        "seed of the search, and scored on the test clips. One metric decides; the p values of "
        "the others are also given adjusted for their number (Benjamini-Hochberg), the intervals "
        "are not.",
    )


def _of_branch(branch: BranchSweep, found: OnTest) -> list[Part]:
    parts: list[Part] = []
    if found.absent:
        parts.append(Bullets(tuple(plain(text) for text in found.absent)))
    parts.append(
        _test_table(branch, found)
        if found.rows
        else Blank(f"{plain(branch.variant)}: {plain(found.sentence)}")
    )
    return parts


def _test_table(branch: BranchSweep, found: OnTest) -> Table:
    rows = []
    for row in found.rows:
        pair = row.pair
        cells = [
            Cell(
                metric_label(row.metric),
                note="decides" if row.metric == found.decisive else "",
            ),
            Cell("↑ higher" if row.higher_is_better else "↓ lower"),
        ]
        for seed in found.seeds:
            one, other = row.best.get(seed), row.defaults.get(seed)
            if one is None or other is None:
                cells.append(Cell(""))
                continue
            note = f"{number(one, digits=4)} against {number(other, digits=4)}"
            cells.append(Cell(number(one - other, digits=4, signed=True), note=note))
        if pair is None:
            rows.append((*cells, Cell("", note=plain(row.reason)), *([Cell("")] * 3)))
            continue
        d = pair.difference
        rows.append(
            (
                *cells,
                Cell(number(d.mean, digits=4, signed=True)),
                Cell(interval(d.low, d.high, digits=4)),
                Cell(
                    probability(d.t_p),
                    note=""
                    if row.metric == found.decisive
                    else f"adjusted {probability(pair.adjusted_p)}",
                ),
                Cell(probability(d.sign_flip_p)),
            )
        )
    return Table(
        f"{plain(branch.variant)} on the test clips: best settings minus defaults, paired by seed",
        (
            Column("metric"),
            Column("better"),
            *(Column(f"seed {seed}", is_number=True) for seed in found.seeds),
            Column("mean", is_number=True),
            Column("95 % t interval", is_number=True),
            Column("p (t)", is_number=True),
            Column("p (sign flip)", is_number=True),
        ),
        tuple(rows),
    )
