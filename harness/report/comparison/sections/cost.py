"""Quality against cost."""

from harness.costs.peak import share_of_peak
from harness.records.spending import ONE_GRAPH, advice, is_unsplit
from harness.report.comparison import figures
from harness.report.comparison.facts import Facts, ReportRun
from harness.report.comparison.figures import CostPoint
from harness.report.comparison.sections.common import branch_anchor, branch_cell, mean
from harness.report.page.content import Blank, Cell, Column, Figure, Paragraph, Part, Section, Table
from harness.wording.numbers import count, duration, label, listed, metric_label, number, size

_TITLE = "Quality against cost"
_MOST_ADVICE = 6


def quality_against_cost(facts: Facts) -> Section:
    """Time, money, memory and parameters of each branch, and which is beaten by another."""
    parts: list[Part] = []
    resumed = [run for run in facts.finished if run.record.cost.resumed_from_step is not None]
    if not any(run.total_seconds for run in facts.finished):
        return Section("cost", _TITLE, [Blank("No finished run recorded its time.")])
    if resumed:
        parts.append(
            Paragraph(
                f"{count(len(resumed), 'run')} of {len(facts.finished)} resumed: training time is "
                "that of all their processes, a step that was made twice counted once; dollars are "
                "for every second of them."
            )
        )
    points = cost_points(facts)
    if facts.primary is not None and points:
        devices = _devices(facts)
        on = f" on {listed(devices)}" if devices else ""
        direction = "higher" if facts.primary.higher_is_better else "lower"
        wide, narrow = figures.cost(
            points,
            x_label=f"training time per run, min{on}",
            y_label=f"{metric_label(facts.primary.name)}\n({direction} is better)",
        )
        front = [point.name for point in points if point.is_on_front]
        parts.append(
            Figure(
                "cost-plot",
                f"{metric_label(facts.primary.name)} against training time",
                alt="; ".join(
                    f"{p.name}: {p.cost:.1f} minutes, {number(p.quality)}" for p in points
                )
                + f". On the Pareto front: {listed(front)}.",
                wide=wide,
                narrow=narrow,
                legend=(
                    "Large mark: mean over seeds. Small marks: runs. Dashed line: the Pareto "
                    "front of the means, without their uncertainty.",
                ),
            )
        )
        beaten = [point.name for point in points if not point.is_on_front]
        parts.append(
            Paragraph(
                f"On the Pareto front by the means: {listed(front)}."
                + (f" Worse in both: {listed(beaten)}." if beaten else "")
            )
        )
    parts += [_table(facts), _phases(facts), *_spending(facts)]
    if not any(_dollars(run) is not None for run in facts.finished):
        parts.append(Blank("Dollars: no price per hour was recorded with these runs."))
    return Section(
        "cost",
        _TITLE,
        parts,
        lead="Time, money, memory and parameters of each branch against what it scores.",
        is_folded=True,
    )


def _devices(facts: Facts) -> list[str]:
    return sorted({run.record.cost.device or "" for run in facts.finished} - {""})


def training_seconds(run: ReportRun) -> float | None:
    """Seconds of training alone."""
    return run.seconds.get("train")


def _dollars(run: ReportRun) -> float | None:
    return run.record.cost.dollars


def cost_points(facts: Facts) -> list[CostPoint]:
    """Each branch's mean training time and mean score; only runs whose time is known are dots."""
    if facts.primary is None:
        return []
    sign = 1.0 if facts.primary.higher_is_better else -1.0
    found: dict[str, list[tuple[float, float]]] = {}
    means: dict[str, tuple[float, float]] = {}
    for branch in facts.branches:
        scored = [
            (training_seconds(run), value)
            for run in facts.of_branch(branch)
            if (value := run.value(facts.primary.name)) is not None
        ]
        pairs = [(seconds / 60, value) for seconds, value in scored if seconds is not None]
        if pairs:
            found[branch] = pairs
            # A run without a time still counts for what its branch is worth.
            quality = sum(value for _, value in scored) / len(scored)
            means[branch] = (sum(minutes for minutes, _ in pairs) / len(pairs), quality)
    return [
        CostPoint(
            branch=facts.index(branch),
            name=branch,
            cost=x,
            quality=y,
            runs=tuple(found[branch]),
            is_on_front=not any(
                ox <= x and sign * oy >= sign * y and (ox, oy) != (x, y)
                for ox, oy in means.values()
            ),
        )
        for branch, (x, y) in means.items()
    ]


def _table(facts: Facts) -> Table:
    rows = []
    for branch in facts.branches:
        runs = facts.of_branch(branch)
        anchor = branch_anchor(facts, branch)
        totals = [run.total_seconds for run in runs if run.total_seconds is not None]
        training = [s for run in runs if (s := training_seconds(run)) is not None]
        memory = [m for run in runs if (m := run.record.cost.peak_memory_bytes) is not None]
        dollars = [d for run in runs if (d := _dollars(run)) is not None]
        trainable = {run.trainable for run in runs} - {None}
        rows.append(
            (
                branch_cell(facts, branch),
                Cell(duration(mean(training)), href=anchor),
                Cell(duration(mean(totals)), href=anchor),
                Cell(number(sum(totals) / 3_600, digits=3) if totals else "", href=anchor),
                Cell(f"${mean(dollars):,.2f}" if dollars else ""),
                Cell(size(max(memory)) if memory else "", href=anchor),
                Cell(" or ".join(f"{n:,}" for n in sorted(t for t in trainable if t is not None))),
            )
        )
    return Table(
        "Cost of each branch",
        (
            Column("branch"),
            Column("training per run", is_number=True),
            Column("whole run", is_number=True),
            Column(f"hours, all runs ({', '.join(_devices(facts))})", is_number=True),
            Column("$ per run", is_number=True),
            Column("peak memory", is_number=True),
            Column("trainable parameters", is_number=True),
        ),
        tuple(rows),
    )


def _spending(facts: Facts) -> list[Part]:
    """Where the seconds went, over all processes, and what to do about it."""
    known = [run for run in facts.finished if run.record.cost.parts]
    if not known:
        return []
    names = list(dict.fromkeys(name for run in known for name in run.record.cost.parts))
    rows = []
    for branch in facts.branches:
        parts = [run.record.cost.parts for run in known if run.branch == branch]
        if not parts:
            continue
        whole = sum(sum(own.values()) for own in parts)
        shares = [share_of_peak(run.record) for run in known if run.branch == branch]
        peak = mean([share for share in shares if share is not None])
        cells = [
            branch_cell(facts, branch),
            Cell(duration(whole / len(parts))),
            Cell("" if peak is None else _share(peak)),
        ]
        for name in names:
            seconds = sum(own.get(name, 0.0) for own in parts)
            cells.append(Cell(_share(seconds / whole) if seconds else ""))
        rows.append(tuple(cells))
    table = Table(
        "Where the seconds went, share of the wall time of all processes, mean over runs",
        (
            Column("branch"),
            Column("per run", is_number=True),
            Column("of the card's peak", is_number=True),
            *(Column(label(name), is_number=True) for name in names),
        ),
        tuple(rows),
        is_folded=True,
    )
    found: list[Part] = [table]
    if any(is_unsplit(run.record.cost.parts) for run in known):
        found.append(Paragraph(f"{ONE_GRAPH[0].upper()}{ONE_GRAPH[1:]}."))
    told = dict.fromkeys(
        f"{branch}: {line}."
        for branch in facts.branches
        for run in known
        if run.branch == branch
        for line in advice(run.record.cost, share_of_peak=share_of_peak(run.record))
    )
    return found + [Paragraph(line) for line in list(told)[:_MOST_ADVICE]]


def _share(share: float) -> str:
    return f"{100 * share:.1f}\u202f%"


def _phases(facts: Facts) -> Table:
    phases = list(dict.fromkeys(name for run in facts.finished for name in run.seconds))
    rows = []
    for branch in facts.branches:
        runs = facts.of_branch(branch)
        cells = [branch_cell(facts, branch), Cell(count(len(runs), "run"))]
        for phase in phases:
            values = [run.seconds[phase] for run in runs if phase in run.seconds]
            cells.append(Cell(f"{mean(values):.1f} s" if values else ""))
        rows.append(tuple(cells))
    return Table(
        "Seconds by phase, mean over runs",
        (
            Column("branch"),
            Column("of"),
            *(Column(label(phase), is_number=True) for phase in phases),
        ),
        tuple(rows),
        is_folded=True,
    )
