"""Every metric, and the distances against n."""

from collections import defaultdict

from harness.comparison.record import BranchScore, MetricRow
from harness.metrics.arms import REAL, Arm
from harness.metrics.metric import Level
from harness.report.comparison import figures
from harness.report.comparison.facts import Facts
from harness.report.comparison.figures import Curve
from harness.report.comparison.sections.common import (
    arm_cells,
    better,
    branch_anchor,
    branch_columns,
    mean,
    sd,
)
from harness.report.comparison.sections.differences import secondary_table
from harness.report.page.content import (
    Blank,
    Bullets,
    Cell,
    Column,
    Figure,
    Paragraph,
    Part,
    Section,
    Table,
)
from harness.wording.numbers import count, digits_for, metric_label, number, plain, short_hash


def all_metrics(facts: Facts) -> Section:
    """Mean and spread over seeds of every metric, with what a reader must know to read it."""
    if not facts.rows:
        return Section("metrics", "All metrics", [Blank("No finished run has a score.")])
    shown = [row for row in facts.rows if any(_has_value(s) for s in row.branches.values())]
    blank = [row for row in facts.rows if row not in shown]
    parts: list[Part] = []
    whole = [row for row in shown if row.is_primary or not _is_part(row)]
    if whole:
        parts.append(_table(facts, whole, caption="Scores with the matching sound"))
    if len(whole) < len(shown):
        of_parts = [row for row in shown if row not in whole]
        caption = "Parts of these metrics"
        parts.append(_table(facts, of_parts, caption=caption, is_folded=True))
    if blank:
        parts.append(_blank_table(blank))
    parts += [Paragraph(text, tone="warn") for text in _cautions(facts)]
    parts.append(_definitions(facts))
    secondary = secondary_table(facts)
    if secondary is not None:
        parts.append(secondary)
    return Section(
        "metrics",
        "All metrics",
        parts,
        lead="With the matching sound; mean over seeds and, after ±, the standard deviation "
        "over seeds."
        + (
            ""
            if facts.comparison is None
            else " One metric decides the verdict; the others are for information."
        ),
        is_brief=True,
    )


def _is_part(row: MetricRow) -> bool:
    """Whether it is one part of another metric."""
    return "." in row.metric


def _has_value(score: BranchScore) -> bool:
    return any(value is not None for value in score.values.values())


def _table(facts: Facts, rows: list[MetricRow], *, caption: str, is_folded: bool = False) -> Table:
    cells = []
    for row in rows:
        digits = digits_for([score.mean for score in row.branches.values()])
        cells.append(
            (
                Cell(metric_label(row.metric)),
                Cell("decides" if row.is_primary and facts.comparison is not None else row.role),
                Cell(better(row.higher_is_better)),
                *(
                    _score_cell(facts, row.branches[branch], branch, digits=digits)
                    for branch in facts.branches
                ),
                Cell(number(row.chance, digits=digits)),
                Cell(number(row.real, digits=digits)),
                Cell(str(row.n) if row.n else ""),
            )
        )
    return Table(
        caption,
        (
            Column("metric"),
            Column("for"),
            Column("better"),
            *branch_columns(facts),
            Column("chance", is_number=True),
            Column("real pictures", is_number=True),
            Column("n", is_number=True),
        ),
        tuple(cells),
        is_folded=is_folded,
    )


def _score_cell(facts: Facts, score: BranchScore, branch: str, *, digits: int) -> Cell:
    if score.mean is None:
        present = [f"seed {s}" for s, value in score.values.items() if value is not None]
        note = plain(score.reason or "")
        if present:
            note = f"only {', '.join(present)}: {note}"
        return Cell("", note=note, tone="muted")
    text = number(score.mean, digits=digits)
    if score.sd is not None:
        text += f" ± {number(score.sd, digits=digits)}"
    return Cell(text, href=branch_anchor(facts, branch))


def _blank_table(rows: list[MetricRow]) -> Table:
    def reason(row: MetricRow) -> str:
        return next((s.reason for s in row.branches.values() if s.reason), "") or "not scored"

    return Table(
        f"Blank: {count(len(rows), 'metric')} that these runs cannot have",
        (Column("metric"), Column("why")),
        tuple((Cell(metric_label(row.metric)), Cell(plain(reason(row)))) for row in rows),
        is_folded=True,
    )


def _cautions(facts: Facts) -> list[str]:
    found: dict[str, list[str]] = defaultdict(list)
    for run in facts.finished:
        for name, score in run.record.metrics.items():
            caution = score.caution
            if caution and score.value is not None and name not in found[caution]:
                found[caution].append(name)
    return [
        f"{', '.join(metric_label(n) for n in names)}: {plain(text)}"
        for text, names in found.items()
    ]


def _definitions(facts: Facts) -> Table:
    return Table(
        "What each metric is, and which scorer measures it",
        (Column("metric"), Column("definition"), Column("unit"), Column("scorer, hash")),
        tuple(
            (
                Cell(metric_label(row.metric)),
                Cell(
                    plain(row.definition),
                    note=plain(facts.declared(row.metric).reading),
                ),
                Cell(plain(row.unit)),
                Cell(
                    plain(row.extractor or ""),
                    note=short_hash(row.extractor_hash) if row.extractor_hash else "",
                ),
            )
            for row in facts.rows
        ),
        is_folded=True,
    )


# Distances -------------------------------------------------------------------------------


def distances_against_n(facts: Facts) -> Section:
    """How each distance moves with the number of images, beside real against real."""
    names = [
        row.metric
        for row in facts.rows
        if facts.declared(row.metric).level is Level.SET
        and any(_has_value(s) for s in row.branches.values())
    ]
    parts: list[Part] = []
    curves = _curves(facts)
    if curves:
        wide, narrow = figures.distances(curves, branches=facts.branches)
        parts.append(
            Figure(
                "distances-plot",
                f"Distance to the {facts.clip_word}s' real pictures, against the number of images",
                alt=_curves_in_words(curves),
                wide=wide,
                narrow=narrow,
                legend=(
                    "Dashed: real pictures against real pictures of other clips. A perfect "
                    "generator lies there; that a branch does is not proof that its images equal "
                    "photographs, which would take an equivalence test within a margin.",
                    "A curve that still falls at its end is biased by n there.",
                ),
                data=_curve_table(facts, curves),
            )
        )
    elif names:
        parts.append(
            Blank(
                "The runs recorded no distances at other numbers of images, so there is no curve."
            )
        )
    parts += _near_real(facts)
    if names:
        parts.append(_floor_table(facts, names))
    else:
        parts.append(Blank("No distance between sets of images was recorded."))
    return Section(
        "distances",
        "Distances against n",
        parts,
        lead="Distances between sets of images depend on how many there are: read them next to "
        "their floor, and do not rank by them at small n.",
        is_folded=True,
    )


def _near_real(facts: Facts) -> list[Part]:
    """What the equivalence test says; nothing else may say that a branch equals real pictures."""
    if facts.comparison is None:
        return []
    rows = facts.comparison.near_real
    if not rows:
        return [
            Paragraph(
                "No branch was tested for being as good as real pictures: that takes a margin of a "
                "distance, set before the runs (comparison.margins.kid or comparison.margins.cmmd)."
            )
        ]
    return [Bullets(tuple(f"{plain(row.sentence)}." for row in rows))]


def _curves(facts: Facts) -> dict[str, dict[str, Curve]]:
    """By metric and branch (or "real"), the mean over runs at each n that all runs have."""
    points: dict[tuple[str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in facts.finished:
        for point in run.record.evaluation.distance_curves:
            if point.mean is None:
                continue
            line = REAL if point.arm == REAL else run.branch
            points[point.metric, line][point.n].append(point.mean)
    curves: dict[str, dict[str, Curve]] = {}
    for (name, line), by_n in points.items():
        n = tuple(sorted(by_n))
        values = [by_n[size] for size in n]
        curves.setdefault(name, {})[line] = Curve(
            n=n,
            mean=tuple(sum(v) / len(v) for v in values),
            sd=tuple(sd(v) for v in values),
        )
    return curves


def _curves_in_words(curves: dict[str, dict[str, Curve]]) -> str:
    sentences = []
    for name, lines in curves.items():
        ends = [
            f"{'real against real' if line == REAL else plain(line)} "
            f"{number(curve.mean[0])} at {curve.n[0]} and {number(curve.mean[-1])} at {curve.n[-1]}"
            for line, curve in lines.items()
        ]
        sentences.append(f"{metric_label(name)}: {'; '.join(ends)}")
    return ". ".join(sentences)


def _curve_table(facts: Facts, curves: dict[str, dict[str, Curve]]) -> Table:
    rows = []
    for name, lines in curves.items():
        for size in sorted({n for curve in lines.values() for n in curve.n}):
            cells = [Cell(metric_label(name)), Cell(str(size))]
            for line in (*facts.branches, REAL):
                curve = lines.get(line)
                at = curve.n.index(size) if curve is not None and size in curve.n else None
                value = None if at is None or curve is None else curve.mean[at]
                href = branch_anchor(facts, line) if line != REAL and value is not None else None
                cells.append(Cell(number(value), href=href))
            rows.append(tuple(cells))
    return Table(
        "Distances against n, mean over runs",
        (
            Column("metric"),
            Column("n", is_number=True),
            *branch_columns(facts),
            Column("real against real", is_number=True),
        ),
        tuple(rows),
    )


def _floor_table(facts: Facts, names: list[str]) -> Table:
    arms = [arm for arm in map(str, Arm) if any(arm in run.record.arms for run in facts.finished)]
    rows = []
    for name in names:
        rows += [(Cell(metric_label(name)), *arm_cells(facts, name, arm=arm)) for arm in arms]
        floor = [v for run in facts.finished if (v := run.value(name, arm=REAL)) is not None]
        sizes = {
            score.n
            for run in facts.finished
            if (score := run.record.arms.get(REAL, {}).get(name)) is not None
        }
        text = number(mean(floor)) if floor else ""
        note = f"n {min(sizes)}" if sizes else ""
        href = facts.finished[0].anchor if text else None
        rows.append(
            (
                Cell(metric_label(name)),
                Cell("real against real", note=note),
                *(Cell(text, href=href) for _ in facts.branches),
            )
        )
    return Table(
        "Distances of every arm, mean over seeds, with the real-vs-real floor",
        (Column("metric"), Column("arm"), *branch_columns(facts)),
        tuple(rows),
        is_folded=True,
    )
