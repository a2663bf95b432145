"""Does it listen, and in which classes."""

from collections import defaultdict
from collections.abc import Sequence

from core.data.items import DataKind
from harness.metrics.registry import known_metrics
from harness.records.parts import ListeningMargin
from harness.report.comparison import figures
from harness.report.comparison.facts import Facts, ReportRun
from harness.report.comparison.sections.certificates import (
    certified,
    is_refused,
    refused_margins,
)
from harness.report.comparison.sections.common import (
    arm_cells,
    arm_word,
    branch_anchor,
    branch_cell,
    branch_columns,
    mean,
)
from harness.report.page.content import Blank, Cell, Column, Figure, Part, Section, Table
from harness.wording.data_kinds import GroupWord, group_word
from harness.wording.numbers import digits_for, label, metric_label, number, plain

_MOST_PANELS = 4


def listening_controls(facts: Facts) -> Section:
    """The matching sound against the mismatched one, silence and the caption alone."""
    margins = _margins(facts)
    if not margins:
        reason = "No run recorded a margin of the matching sound over a control."
        parts = [*(refused_margins(facts) or [Blank(reason)]), *certified(facts)]
        return Section("listening", "Listening controls", parts, is_brief=bool(facts.refused))
    chosen = _chosen(facts, list(margins))
    shown = {
        metric_label(name): {
            arm_word(control): {branch: [mean for mean, _ in found] for branch, found in by.items()}
            for control, by in margins[name].items()
        }
        for name in chosen
    }
    wide, narrow = figures.controls(shown, branches=facts.branches)
    figure = Figure(
        "controls-plot",
        "Advantage of the matching sound over each control, at the same noise",
        alt="Every advantage is in the table below; right of 0 the matching sound is better.",
        wide=wide,
        narrow=narrow,
        legend=(
            "Large mark: mean over runs. Small marks: runs. Right of 0, the matching sound gives "
            "the better image, also for metrics where lower is better.",
        ),
    )
    return Section(
        "listening",
        "Listening controls",
        [
            *refused_margins(facts),
            figure,
            _margin_table(
                facts,
                margins,
                chosen[:1],
                caption="Advantage of the matching sound",
                is_folded=True,
            ),
            *_other_margins(facts, margins, chosen[:1]),
            _arms_table(facts, chosen),
            *certified(facts),
        ],
        lead="A branch that does not listen generates the same image for every sound. All arms of "
        "a clip start from the same noise.",
        is_brief=True,
    )


Margins = dict[str, dict[str, dict[str, list[tuple[float, ListeningMargin]]]]]


def _margins(facts: Facts) -> Margins:
    """By metric, control and branch: each run's mean margin, and the margin whole."""
    found: Margins = {}
    for branch in facts.branches:
        for run in facts.of_branch(branch):
            for margin in run.record.controls:
                if margin.mean is None or is_refused(facts, margin):
                    continue
                by_control = found.setdefault(margin.metric, {})
                by_branch = by_control.setdefault(margin.control, {})
                by_branch.setdefault(branch, []).append((margin.mean, margin))
    return found


def _chosen(facts: Facts, names: Sequence[str]) -> list[str]:
    first = [facts.clip_metric.name] if facts.clip_metric is not None else []
    shown = [name for name, declared in known_metrics().items() if declared.shows_listening]
    ordered = dict.fromkeys(n for n in (*first, *shown, *names) if n in names)
    return [name for name in ordered if "." not in name][:_MOST_PANELS]


def _margin_table(
    facts: Facts,
    margins: Margins,
    names: Sequence[str],
    *,
    caption: str,
    is_folded: bool = False,
) -> Table:
    rows = []
    for name in names:
        for control, by_branch in margins[name].items():
            for branch, found in by_branch.items():
                known_z = [m.z for _, m in found if m.z is not None]
                above = sum(m.low is not None and m.low > 0 for _, m in found)
                means = [mean for mean, _ in found]
                rows.append(
                    (
                        Cell(metric_label(name)),
                        Cell(arm_word(control)),
                        branch_cell(facts, branch),
                        Cell(
                            number(mean(means), signed=True),
                            href=branch_anchor(facts, branch),
                            note=_range(means) if len(means) > 1 else "",
                        ),
                        Cell(_range(known_z, digits=1)),
                        Cell(f"{above} of {len(found)}"),
                        Cell(str(min(m.n for _, m in found))),
                    )
                )
    return Table(
        f"{caption}; mean over runs, paired by clip",
        (
            Column("metric"),
            Column("over"),
            Column("branch"),
            Column("advantage", is_number=True),
            Column("z over clips", is_number=True),
            Column("runs above 0 (95 %)", is_number=True),
            Column("clips", is_number=True),
        ),
        tuple(rows),
        is_folded=is_folded,
    )


def _range(values: Sequence[float], *, digits: int | None = None) -> str:
    if not values:
        return ""
    low, high = min(values), max(values)
    places = digits_for(values) if digits is None else digits
    if low == high:
        return number(low, digits=places)
    return f"{number(low, digits=places)} to {number(high, digits=places)}"


def _other_margins(facts: Facts, margins: Margins, chosen: Sequence[str]) -> list[Part]:
    others = [name for name in margins if name not in chosen]
    if not others:
        return []
    caption = "Advantage of the matching sound, other metrics"
    return [_margin_table(facts, margins, others, caption=caption, is_folded=True)]


def _arms_table(facts: Facts, names: Sequence[str]) -> Table:
    """What each arm scored: the floors and the ceiling."""
    arms = list(dict.fromkeys(arm for run in facts.finished for arm in run.record.arms))
    rows = []
    for name in names:
        rows += [(Cell(metric_label(name)), *arm_cells(facts, name, arm=arm)) for arm in arms]
    return Table(
        "Scores of every arm, mean over seeds: floors, the matching sound, and the real pictures",
        (Column("metric"), Column("arm"), *branch_columns(facts)),
        tuple(rows),
        is_folded=True,
    )


# Classes ---------------------------------------------------------------------------------


def class_heat_map(facts: Facts) -> Section:
    """The clip metric by class and branch, and the difference of the pair furthest apart."""
    about = facts.clip_metric
    word = _by(facts)
    is_group = " " in word.one
    title = f"By {word.one}" if is_group else f"{word.one.capitalize()} by {word.one}"
    if about is None:
        return Section("classes", title, [Blank("No metric of single clips has a value.")])
    table, sizes = _class_means(facts, about.name)
    if not table:
        reasons = [run.per_clip_reason for run in facts.finished if run.per_clip_reason]
        why = reasons[0] if reasons else f"the runs hold no scores by {word.one}"
        return Section("classes", title, [Blank(f"{why}.")])
    pair = _pair(facts)
    values = [v for by in table.values() for v in by.values()]
    low, high = min(values), max(values)
    apart = [abs(d) for by in table.values() if (d := _difference(by, pair)) is not None]
    rows = []
    for name, by_branch in sorted(table.items()):
        cells = [Cell(label(name)), Cell(str(sizes[name]) if name in sizes else "")]
        for branch in facts.branches:
            value = by_branch.get(branch)
            shade = None if value is None or high == low else (value - low) / (high - low)
            cells.append(
                Cell(
                    number(value),
                    heat=shade,
                    href=branch_anchor(facts, branch) if value is not None else None,
                )
            )
        if pair is not None:
            difference = _difference(by_branch, pair)
            largest = max(apart, default=0.0)
            shade = None
            if difference is not None and largest > 0:
                shade = difference / largest * (1 if about.higher_is_better else -1)
            cells.append(Cell(number(difference, signed=True), heat=shade, is_difference=True))
        rows.append(tuple(cells))
    columns = [Column(word.one), Column("clips", is_number=True), *branch_columns(facts)]
    if pair is not None:
        columns.append(Column(f"{plain(pair[0])} \u2212 {plain(pair[1])}", is_number=True))
    better = "higher" if about.higher_is_better else "lower"
    heat = Table(
        f"{metric_label(about.name)} by {word.one}, mean over clips and seeds ({better} is better)",
        tuple(columns),
        tuple(rows),
    )
    few = f"{word.many.capitalize()} with few clips swing widely."
    return Section(
        "classes",
        title,
        [heat],
        lead="The deeper the shade, the larger the value. In the last column one colour means "
        f"the first branch is better, the other the second. {few}"
        if pair is not None
        else f"The deeper the shade, the larger the value. {few}",
    )


def _by(facts: Facts) -> GroupWord:
    """What the table is by: classes, labels, or groups of captions."""
    kind = facts.runs[0].record.split.kind if facts.runs else DataKind.CLASSES
    return GroupWord("label", "labels") if kind is DataKind.LABELS else group_word(kind)


def _class_means(facts: Facts, name: str) -> tuple[dict[str, dict[str, float]], dict[str, int]]:
    """Mean over clips and seeds by class and branch, and each class's number of clips."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    sizes: dict[str, int] = {}
    for run in facts.finished:
        score = run.record.metrics.get(name)
        arm = "audio" if score is None else score.arm
        for class_name, (value, n) in run_classes(run, name, arm=arm).items():
            found[class_name][run.branch].append(value)
            sizes[class_name] = n
    means = {
        class_name: {branch: sum(v) / len(v) for branch, v in by_branch.items()}
        for class_name, by_branch in found.items()
    }
    return means, sizes


def run_classes(run: ReportRun, name: str, *, arm: str) -> dict[str, tuple[float, int]]:
    """Mean and number of clips of each class: as recorded, else from the per-clip table."""
    recorded = run.record.evaluation.per_class.get(arm, {}).get(name)
    if recorded is not None:
        return {
            class_name: (score.mean, score.n)
            for class_name, score in recorded.items()
            if score.mean is not None
        }
    table = run.clip_scores
    chosen = table[(table["metric"] == name) & (table["arm"] == arm)].dropna(subset="value")
    grouped = chosen.groupby("class_name")["value"].agg(["mean", "count"])
    return {
        str(class_name): (float(score["mean"]), int(score["count"]))
        for class_name, score in grouped.iterrows()
    }


def _pair(facts: Facts) -> tuple[str, str] | None:
    """The pair furthest apart, the branch ahead first."""
    pair = facts.focus
    if pair is None:
        return None
    return (pair.second, pair.first) if pair.ahead == pair.second else (pair.first, pair.second)


def _difference(by_branch: dict[str, float], pair: tuple[str, str] | None) -> float | None:
    if pair is None or not all(branch in by_branch for branch in pair):
        return None
    return by_branch[pair[0]] - by_branch[pair[1]]
