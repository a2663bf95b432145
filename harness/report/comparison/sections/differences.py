"""Paired differences, and the seeds they come from."""

import math
from collections.abc import Sequence

from harness.comparison.evidence import ClipBootstrap
from harness.comparison.pair_result import PairResult
from harness.comparison.record import MetricRow
from harness.report.comparison import figures
from harness.report.comparison.facts import Facts
from harness.report.comparison.sections.common import NOT_COMPARED, branch_columns
from harness.report.comparison.sections.verdict import key_numbers
from harness.report.page.content import (
    Blank,
    Bullets,
    Cell,
    Column,
    Figure,
    Part,
    Section,
    Table,
)
from harness.statistics.outcome import Outcome, Population
from harness.wording.numbers import (
    count,
    digits_for,
    interval,
    listed,
    metric_label,
    number,
    percent,
    plain,
    probability,
)

_FOREST = "Paired differences"
_SLOPES = "Seed by seed"
_FEW_CLIPS = 4
"""Clips of a class, on average, below which a reader is told how little is known of their spread;
with 4 clips of each of 4 classes the interval is a ninth wider for it."""


def forest_plot(facts: Facts) -> Section:
    """Differences with intervals beside what the seeds can detect."""
    found = facts.comparison
    if found is None:
        return Section("forest", _FOREST, [NOT_COMPARED])
    if not found.pairs:
        reason = "no pair could be formed: " + (
            f"{count(len(found.failed), 'run')} failed, and failed runs are never dropped from "
            "the pairing"
            if found.failed
            else f"{found.metric} is missing in a run, or there is only one branch"
        )
        return Section("forest", _FOREST, [Blank(reason[0].upper() + reason[1:] + ".")])
    wide, narrow = figures.forest(
        found.pairs, branches=facts.branches, unit=facts.declared(found.metric).unit
    )
    figure = Figure(
        "forest-plot",
        f"{metric_label(found.metric)}, difference between branches, paired by seed",
        alt="; ".join(_in_words(pair) for pair in found.pairs),
        wide=wide,
        narrow=narrow,
        legend=(
            "Large mark: mean over seeds, in the colour of the branch ahead. Small circles: seeds.",
            *_legend(found.pairs, looks=found.looks.planned),
        ),
    )
    parts: list[Part] = [
        Bullets(tuple(pair.sentence for pair in found.pairs)),
        key_numbers(facts),
        figure,
        _pairs_table(found.pairs, caption="The same in numbers"),
        *_why_blank(found.pairs),
        *_variance(found.pairs),
        _power(facts),
    ]
    return Section(
        "forest",
        _FOREST,
        parts,
        is_brief=True,
    )


def _legend(pairs: list[PairResult], *, looks: Sequence[int]) -> tuple[str, ...]:
    """What the lines speak of, as far as these pairs have them."""
    thin = "Thin line with ends: t interval over seeds, for other trainings on these clips"
    over = [f"{len(pairs)} pairs"] if len(pairs) > 1 else []
    if pairs[0].n in looks:
        over.append("planned looks")
    if over:
        thin += f"; widened so that all {' and '.join(over)} hold together"
    words = [f"{thin}. If a line crosses 0, the order is undecided."]
    if any(pair.n > 1 and pair.interval is None for pair in pairs):
        words.append(
            "A pair without a line has the same difference in every seed: there is no spread to "
            "make an interval of, and signs alone are counted."
        )
    boot = next((pair.bootstrap for pair in pairs if pair.bootstrap is not None), None)
    if boot is not None:
        words.append(
            f"Thick pale line: bootstrap for {_bootstrap_speaks(boot)}; of one pair alone."
        )
    if any(pair.detectable is not None for pair in pairs):
        words.append(
            "Grey block: true differences that a comparison like this one calls a win in fewer "
            "than 80 % of cases."
        )
    return tuple(words)


def _bootstrap_speaks(boot: ClipBootstrap) -> str:
    """What the bootstrap interval speaks of, and from how many clips and classes."""
    clips, classes = count(boot.num_clips, "clip"), count(boot.num_classes, "class", "classes")
    if boot.classes_drawn:
        return f"other trainings, clips and classes, from {clips} of {classes}"
    if boot.num_clips == boot.num_classes:
        return (
            f"other trainings and other clips, from {clips}, each of another class: clips and "
            "classes cannot be told apart"
        )
    words = (
        f"other trainings and other clips of these {classes}, not of other classes, from {clips}"
    )
    if boot.num_clips < _FEW_CLIPS * boot.num_classes:
        spare = boot.num_clips - boot.num_classes
        words += (
            f", so that how clips of a class differ is known from {count(spare, 'comparison')} "
            "alone, and the line is widened for that"
        )
    return words


def _in_words(pair: PairResult) -> str:
    digits = digits_for([pair.effect])
    text = f"{plain(pair.first)} minus {plain(pair.second)}: {number(pair.effect, digits=digits)}"
    if pair.interval is not None:
        between = interval(pair.interval.low, pair.interval.high, digits=digits)
        text += f", {percent(pair.interval.level)} interval {between}"
    return f"{text}, {pair.verdict.value}"


def _pairs_table(pairs: list[PairResult], *, caption: str, is_folded: bool = False) -> Table:
    holm = all(pair.adjustment == "holm" for pair in pairs)
    rows = []
    for pair in pairs:
        digits = digits_for([pair.effect])
        span, boot = pair.simultaneous or pair.interval, pair.bootstrap
        clips = pair.other_clips.interval if pair.other_clips else None
        rows.append(
            (
                Cell(f"{plain(pair.first)} \u2212 {plain(pair.second)}"),
                _verdict_cell(pair),
                *(() if holm else (Cell(metric_label(pair.metric)),)),
                Cell(str(pair.n)),
                Cell(number(pair.effect, digits=digits, signed=True)),
                Cell(interval(span.low, span.high, digits=digits) if span else ""),
                Cell(interval(clips.low, clips.high, digits=digits) if clips else ""),
                Cell(
                    interval(boot.interval.low, boot.interval.high, digits=digits) if boot else ""
                ),
                Cell(probability(pair.adjusted_p)),
                Cell(probability(pair.sign_flip_p)),
                Cell(probability(pair.adjusted_both_p)),
                Cell(number(pair.detectable, digits=digits)),
            )
        )
    columns = (
        Column("pair"),
        Column("verdict"),  # second, so that a phone shows it without scrolling
        *(() if holm else (Column("metric"),)),
        Column("seeds", is_number=True),
        Column("difference", is_number=True),
        Column("t interval, all pairs together" if holm else "t interval", is_number=True),
        Column("for other clips too" if holm else "interval for other clips", is_number=True),
        Column("bootstrap interval", is_number=True),
        Column("p (Holm)" if holm else "q (Benjamini-Hochberg)", is_number=True),
        Column("p (sign flip)", is_number=True),
        Column("p, other clips too" if holm else "q, other clips too", is_number=True),
        Column("detectable", is_number=True),
    )
    return Table(caption, columns, tuple(rows), is_folded=is_folded)


def _why_blank(pairs: list[PairResult]) -> list[Part]:
    """Why a detectable difference is blank, once for all pairs of one reason."""
    reasons: dict[str, list[str]] = {}
    for pair in pairs:
        if pair.detectable is None and pair.why_no_detectable is not None:
            name = f"{plain(pair.first)} \u2212 {plain(pair.second)}"
            reasons.setdefault(pair.why_no_detectable, []).append(name)
    return [
        Blank(f"Detectable, {'all pairs' if len(names) == len(pairs) else listed(names)}: {why}.")
        for why, names in reasons.items()
    ]


def _verdict_cell(pair: PairResult) -> Cell:
    text = pair.verdict.value
    note = "on these clips" if pair.population is Population.THESE_CLIPS else ""
    if pair.winner is not None:
        return Cell(f"{text}: {plain(pair.winner)}", tone="good", note=note)
    if pair.verdict is Outcome.TIE:
        return Cell(text, note=note)
    if pair.ahead is not None:
        return Cell(text, note=f"{plain(pair.ahead)} ahead")
    return Cell(text)


def secondary_table(facts: Facts) -> Table | None:
    """Every pair on every other metric; none of them decides."""
    if facts.comparison is None or not facts.comparison.secondary:
        return None
    return _pairs_table(
        facts.comparison.secondary,
        caption="Pairs on all other metrics, adjusted together; none of them decides the verdict",
        is_folded=True,
    )


def _power(facts: Facts) -> Part:
    found = facts.comparison
    if found is None or not found.power:
        return Blank("What other numbers of seeds would detect was not computed.")
    pairs = list(dict.fromkeys(name for row in found.power for name in row.detectable))
    rows = tuple(
        (
            Cell(
                str(row.num_seeds), note="these runs" if row.num_seeds == len(found.seeds) else ""
            ),
            Cell(number(row.win_sd, digits=2)),
            Cell(number(row.headline_sd, digits=2)),
            Cell(number(row.tie_sd, digits=2)),
            *(Cell(number(row.detectable.get(name))) for name in pairs),
            Cell("yes" if row.can_win else "no"),
        )
        for row in found.power
    )
    return Table(
        "Smallest true difference called a win, and smallest margin of a tie, in 80 % of cases on "
        "these clips, by number of seeds"
        + (", each at that planned look alone" if found.looks.planned else ""),
        (
            Column("seeds", is_number=True),
            Column("one pair, in paired seed sd", is_number=True),
            Column("against all others, in paired seed sd", is_number=True),
            Column("margin in which equal branches tie, in paired seed sd", is_number=True),
            *(Column(plain(name), is_number=True) for name in pairs),
            Column("may win"),
        ),
        rows,
        is_folded=True,
    )


def _variance(pairs: list[PairResult]) -> list[Part]:
    """Where each pair's variance comes from, and what would narrow its interval most."""
    known = [(pair, pair.variance) for pair in pairs if pair.variance is not None]
    if not known:
        return []
    rows = []
    for pair, parts in known:
        digits = digits_for([pair.effect])
        rows.append(
            (
                Cell(f"{plain(pair.first)} \u2212 {plain(pair.second)}"),
                Cell(parts.best),
                *(Cell(number(math.sqrt(v))) for v in (parts.seeds, parts.clips, parts.rest)),
                *(
                    Cell(number(width, digits=digits + 1))
                    for width in (
                        parts.half_width, parts.twice_the_seeds, parts.twice_the_clips,
                        parts.twice_the_images,
                    )
                ),
            )
        )  # fmt: skip
    return [
        Table(
            "Where the difference varies (standard deviations), and the expected half width of its "
            "interval for other trainings and clips",
            (
                Column("pair"),
                Column("doubled, narrows it most"),
                *(Column(name, is_number=True) for name in ("trainings", "clips", "rest")),
                *(
                    Column(name, is_number=True)
                    for name in ("now", "twice the seeds", "twice the clips", "twice the images")
                ),
            ),
            tuple(rows),
        )
    ]


def seed_slopes(facts: Facts) -> Section:
    """The primary metric of every run."""
    row = primary_row(facts)
    if row is None or not any(score.values for score in row.branches.values()):
        return Section("slopes", _SLOPES, [Blank("No finished run has a value to show.")])
    wide, narrow = figures.slopes(row, branches=facts.branches)
    figure = Figure(
        "slopes-plot",
        f"{metric_label(row.metric)} of every run, a line for each seed",
        alt=f"{metric_label(row.metric)} by branch and seed; the table below holds every value.",
        wide=wide,
        narrow=narrow,
        legend=(
            "A paired difference is supported by lines that run the same way; lines that "
            "cross show that more seeds are needed. Short thick bar: the branch's mean.",
        ),
        data=_seed_table(facts, row),
    )
    return Section("slopes", _SLOPES, [figure])


def primary_row(facts: Facts) -> MetricRow | None:
    """The row of the metric the verdict rests on."""
    name = facts.primary.name if facts.primary is not None else None
    return next((row for row in facts.rows if row.metric == name), None)


def _seed_table(facts: Facts, row: MetricRow) -> Table:
    seeds = sorted({seed for score in row.branches.values() for seed in score.values})
    digits = digits_for(v for score in row.branches.values() for v in score.values.values())
    rows = []
    for seed in seeds:
        cells = [Cell(f"seed {seed}")]
        for branch in facts.branches:
            score = row.branches[branch]
            run = facts.run(score.run_ids.get(seed, ""))
            value = number(score.values.get(seed), digits=digits)
            cells.append(Cell(value, href=run.anchor if run is not None else None))
        rows.append(tuple(cells))
    return Table(
        f"{metric_label(row.metric)} of every run; each number links to its run",
        (Column("seed"), *branch_columns(facts)),
        tuple(rows),
    )
