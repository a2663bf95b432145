"""Best settings against the defaults on the test clips, paired by seed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import HarnessError, MismatchError
from harness.comparison.eligibility import require_one_branch
from harness.comparison.failures import earlier_failures_sentence
from harness.comparison.tables import higher_is_better, metric_names
from harness.records.folders import ResultsFolder
from harness.records.record import RunRecord, Status, load_record
from harness.settings.profile import ComparisonSettings
from harness.statistics.outcome import MIN_SEEDS_FOR_A_WIN, Outcome
from harness.sweep.record import BranchSweep
from harness.wording.numbers import count, interval, metric_label, number, percent

if TYPE_CHECKING:
    from harness.statistics.verdict import PairVerdict

BEST = "best settings"
DEFAULTS = "defaults"


@dataclass(frozen=True, kw_only=True)
class TestRow:
    """One metric over the seeds."""

    __test__ = False

    metric: str
    """Its name."""
    higher_is_better: bool
    """Its direction."""
    best: Mapping[int, float | None]
    """By seed, with the best settings."""
    defaults: Mapping[int, float | None]
    """By seed, with the defaults."""
    pair: "PairVerdict | None"
    """Best minus defaults; None where a seed is missing, with `reason`."""
    reason: str = ""
    """Why there is no difference."""


@dataclass(frozen=True)
class OnTest:
    """What the test clips say of a branch's best settings."""

    sentence: str
    """It in one sentence."""
    outcome: Outcome | None = None
    """What may be said; None where there is nothing to say."""
    is_better: bool = False
    """Whether a win is the best settings'."""
    decisive: str | None = None
    """The profile's metric."""
    rows: Sequence[TestRow] = ()
    """The decisive metric first."""
    seeds: Sequence[int] = ()
    """Of the runs."""
    absent: Sequence[str] = field(default=())
    """Runs that are missing or failed, and why."""
    notice: str = ""
    """What a reader must know beside the numbers."""
    are_same: bool = False
    """Whether the best settings are the defaults."""


NOT_OPENED = "No run has scored these settings on the test clips, so their effect there is unknown."


def read_on_test(branch: BranchSweep, *, results: Path, settings: ComparisonSettings) -> OnTest:
    """The runs of the best settings and of the defaults, read from `results/runs` and paired.

    A run that failed or is gone does not drop out of the pairing unseen: then no difference is
    formed. Nor is one of runs that `harness compare` would refuse beside each other: then no
    number of them is given either.
    """
    if not branch.test_runs:
        return OnTest(NOT_OPENED)
    if all(pair.best_run_id == pair.default_run_id for pair in branch.test_runs):
        sentence = "The best settings are the defaults, so there is no difference to measure."
        return OnTest(sentence, are_same=True)
    best: dict[int, RunRecord | None] = {}
    defaults: dict[int, RunRecord | None] = {}
    absent: list[str] = []
    for pair in branch.test_runs:
        best[pair.seed] = _read(pair.best_run_id, results=results, absent=absent)
        defaults[pair.seed] = _read(pair.default_run_id, results=results, absent=absent)
    seeds = sorted(best)
    if differing := _what_differs(best, defaults):
        return OnTest(f"On the test clips nothing can be concluded: {differing}.", absent=absent)
    records = [r for r in (*best.values(), *defaults.values()) if r is not None]
    # What no run has a value of, its models missing, has nothing to say here.
    names = [
        name
        for name in metric_names(records)
        if any(record.value(name) is not None for record in records)
    ]
    if settings.metric in names:
        names = [settings.metric, *(name for name in names if name != settings.metric)]
    rows = _adjusted(
        [_row(name, best, defaults, records, margins=settings.margins) for name in names],
        decisive=settings.metric,
    )
    first = next((row for row in rows if row.metric == settings.metric), None)
    pair_of_first = None if first is None else first.pair
    return OnTest(
        _sentence(settings.metric, first, num_absent=len(absent)),
        outcome=None if pair_of_first is None else pair_of_first.outcome,
        is_better=pair_of_first is not None and pair_of_first.winner == BEST,
        decisive=settings.metric,
        rows=rows,
        seeds=seeds,
        absent=absent,
        notice=earlier_failures_sentence(records),
    )


def _what_differs(
    best: Mapping[int, RunRecord | None], defaults: Mapping[int, RunRecord | None]
) -> str:
    """What keeps the runs from standing beside each other; blank where nothing does."""
    pairs = [
        (one, other)
        for seed in best
        if (one := best[seed]) is not None and (other := defaults[seed]) is not None
    ]
    if not pairs:
        return ""
    try:
        require_one_branch({BEST: [one for one, _ in pairs], DEFAULTS: [o for _, o in pairs]})
    except MismatchError as error:
        return str(error)
    return ""


def _read(run_id: str, *, results: Path, absent: list[str]) -> RunRecord | None:
    if Path(run_id).name != run_id:
        absent.append(f"{run_id}: not the name of a run")
        return None
    try:
        record = load_record(ResultsFolder(results).run(run_id).path)
    except HarnessError as error:
        absent.append(f"{run_id}: {error}")
        return None
    if record.run_id != run_id:
        absent.append(f"{run_id}: its record is of {record.run_id}; it was copied")
        return None
    if record.status is not Status.FINISHED:
        absent.append(f"{run_id}: {record.status.value} ({record.error or 'no reason recorded'})")
        return None
    return record


def _row(
    name: str,
    best: Mapping[int, RunRecord | None],
    defaults: Mapping[int, RunRecord | None],
    records: Sequence[RunRecord],
    *,
    margins: Mapping[str, float],
) -> TestRow:
    direction = higher_is_better(records, name)
    found = [
        {s: None if r is None else r.value(name) for s, r in side.items()}
        for side in (best, defaults)
    ]
    row = TestRow(
        metric=name, higher_is_better=direction, best=found[0], defaults=found[1], pair=None
    )
    cautions = [
        score.caution or score.reason or f"with {score.n} images"
        for record in records
        if (score := record.metrics.get(name)) is not None and not score.is_rankable
    ]
    if cautions:
        return replace(row, reason=f"ranks nothing here: {cautions[0]}")
    ones, others = zip(*((found[0][s], found[1][s]) for s in sorted(best)), strict=True)
    if any(v is None or not math.isfinite(v) for v in (*ones, *others)):
        return replace(row, reason="a run has no value of it")
    # scipy, which the clips alone need: most sweeps open none.
    from harness.statistics.paired import paired_difference
    from harness.statistics.verdict import verdict

    pair = verdict(
        paired_difference(ones, second=others),
        first=BEST,
        second=DEFAULTS,
        higher_is_better=direction,
        margin=margins.get(name, 0.0),
    )
    return replace(row, pair=pair)


def _adjusted(rows: Sequence[TestRow], *, decisive: str | None) -> list[TestRow]:
    """The p of all metrics but the decisive one adjusted together, as in a comparison."""
    others = [row for row in rows if row.pair is not None and row.metric != decisive]
    if not others:
        return list(rows)
    from harness.statistics.multiplicity import benjamini_hochberg

    adjusted = benjamini_hochberg([row.pair.difference.t_p for row in others if row.pair])
    p = dict(zip((row.metric for row in others), adjusted, strict=True))
    return [
        replace(row, pair=replace(row.pair, adjusted_p=float(p[row.metric])))
        if row.pair is not None and row.metric in p
        else row
        for row in rows
    ]


def _sentence(metric: str, row: TestRow | None, *, num_absent: int) -> str:
    name = metric_label(metric)
    if row is None or row.pair is None:
        why = "no run has a value of it" if row is None else row.reason
        if num_absent:
            why = (
                f"{count(num_absent, 'run')} failed or are gone, and such runs are never dropped "
                "from the pairing"
            ).replace("1 run failed or are", "1 run failed or is")
        return f"On the test clips nothing can be concluded from {name}, the primary metric: {why}."
    pair = row.pair
    said = {
        Outcome.TIE: "best settings and defaults tie",
        Outcome.UNDECIDED: "best settings and defaults cannot be distinguished",
        Outcome.WIN: f"the best settings are {'better' if pair.winner == BEST else 'worse'} than "
        "the defaults",
    }[pair.outcome]
    sentence = f"On the test clips {said} by {name}: {difference_text(pair)}."
    if pair.difference.n < MIN_SEEDS_FOR_A_WIN:
        sentence += (
            f" With {count(pair.difference.n, 'seed')} this is exploratory: a claim needs at least "
            f"{MIN_SEEDS_FOR_A_WIN}."
        )
    return sentence


def difference_text(pair: "PairVerdict") -> str:
    """Mean, interval and seeds of a difference."""
    found = pair.difference
    text = f"best minus defaults {number(found.mean, digits=4, signed=True)}"
    span = interval(found.low, found.high, digits=4)
    if span:
        text += f" ({percent(found.level)} interval {span})"
    return f"{text} over {count(found.n, 'seed')}"
