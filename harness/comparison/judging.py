"""Which pairs of branches differ, on the deciding metric and on the others, and what it weighs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import pandas as pd

from harness.comparison.certified import unfit
from harness.comparison.clips import (
    ClipEvidence,
    clip_evidence,
    matched_runs,
)
from harness.comparison.evidence import Looks, Trainings
from harness.comparison.tables import higher_is_better, metric_names
from harness.records.certificate import Certificate
from harness.records.record import RunRecord
from harness.statistics.multiplicity import benjamini_hochberg
from harness.statistics.outcome import ALPHA, MIN_SEEDS_FOR_A_WIN, Outcome, Population, Strength
from harness.statistics.shapes import shape_of
from harness.statistics.verdict import PairVerdict, compare_pairs, leader, verdict

LEVEL = 0.95
"""Of every interval."""


def _seed_values(records: Sequence[RunRecord], metric: str) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"branch": r.identity.variant, "seed": r.identity.seed, "value": r.value(metric)}
            for r in records
        ],
        columns=["branch", "seed", "value"],
    )


class Evidence:
    """What the clips say of each pair and metric, computed when it is first asked for."""

    def __init__(self, records: Sequence[RunRecord], clips: Mapping[str, pd.DataFrame]) -> None:
        self.records = records
        self._clips = clips
        self._known: dict[tuple[str, str, str], ClipEvidence] = {}

    def of_branch(self, metric: str, branch: str) -> pd.DataFrame | None:
        """[clip, seed] values of one branch; None where there are none."""
        runs = {r.run_id: r.identity.seed for r in self.records if r.identity.variant == branch}
        if metric not in self._clips or not runs:
            return None
        table = self._clips[metric]
        return table[[run_id for run_id in runs if run_id in table.columns]].rename(columns=runs)

    def of(self, metric: str, pair: tuple[str, str]) -> ClipEvidence:
        """The pair's on this metric."""
        key = (metric, *pair)
        if key not in self._known:
            matched = matched_runs(self.records, pair)
            self._known[key] = clip_evidence(matched, metric, clips=self._clips, level=LEVEL)
        return self._known[key]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the pairs of branches say, before it is put into words."""

    pairs: list[PairVerdict]
    """On the deciding metric; none where a run failed or has no value."""
    secondary: list[tuple[str, PairVerdict]]
    """On all other metrics, by their names."""
    outcome: Outcome
    """Of all branches together."""
    winner: str | None
    """The branch that is ahead of all others; None without a win."""
    strength: Strength
    """How much weight the outcome bears."""
    population: Population
    """What the outcome speaks of."""
    deciding: list[PairVerdict]
    """The winner's pairs; without a winner all of them."""
    trainings: Trainings | None
    """None where nothing was tested."""
    caution: str | None
    """Why the deciding metric may not rank here."""

    @property
    def is_tested(self) -> bool:
        """Whether the pairs were tested on a metric that may rank."""
        return bool(self.pairs) and self.caution is None

    @property
    def num_decided(self) -> int:
        """Pairs with a win or a tie."""
        return sum(pair.outcome is not Outcome.UNDECIDED for pair in self.pairs)


def judge(
    done: Sequence[RunRecord],
    metric: str,
    *,
    is_whole: bool,
    evidence: Evidence,
    margins: Mapping[str, float],
    looks: Looks,
    certificates: Sequence[Certificate],
) -> Judgement:
    """Judge finished runs by every metric; only `metric` decides.

    is_whole: whether no run of the matrix failed; without it no pair is judged. margins: by metric,
    differences within which branches tie.
    """
    caution = _caution_of(done, metric, certificates=certificates)
    pairs: list[PairVerdict] = []
    secondary: list[tuple[str, PairVerdict]] = []
    if is_whole:
        margin = margins.get(metric, 0.0)
        pairs = _judged_pairs(done, metric, evidence=evidence, margin=margin, looks=looks.planned)
        others = [name for name in metric_names(done) if name != metric]
        secondary = _secondary_pairs(
            done, others, evidence=evidence, margins=margins, certificates=certificates
        )
    if caution is not None:
        pairs = [_undecided(pair) for pair in pairs]
    winner = leader(pairs) if pairs else None
    outcome = Outcome.UNDECIDED
    if winner is not None:
        outcome = Outcome.WIN
    elif pairs and all(pair.outcome is Outcome.TIE for pair in pairs):
        outcome = Outcome.TIE
    is_tested = bool(pairs) and caution is None
    deciding = [p for p in pairs if winner is None or winner in (p.first, p.second)]
    num_seeds = len({record.identity.seed for record in done})
    strength, population = _strength_of(
        outcome, deciding, is_tested=is_tested, num_seeds=num_seeds, looks=looks
    )
    if looks.unplanned:
        pairs = [replace(pair, strength=_least_strength(pair)) for pair in pairs]
    return Judgement(
        pairs=pairs,
        secondary=secondary,
        outcome=outcome,
        winner=winner,
        strength=strength,
        population=population,
        deciding=deciding,
        trainings=_trainings_of(done, metric, pairs) if is_tested else None,
        caution=caution,
    )


def _judged_pairs(
    records: Sequence[RunRecord],
    metric: str,
    *,
    evidence: Evidence,
    margin: float,
    looks: Sequence[int] = (),
) -> list[PairVerdict]:
    """Every pair of branches on one metric, adjusted together; none where a run has no value.

    margin: differences within it are a tie. looks: planned numbers of seeds.
    """
    values = _seed_values(records, metric)
    if values["value"].isna().any() or values["branch"].nunique() < 2:
        return []
    values["value"] = values["value"].astype(float)
    pairs = combinations(dict.fromkeys(values["branch"]), 2)
    return compare_pairs(
        values,
        higher_is_better=higher_is_better(records, metric),
        margin=margin,
        crossed={pair: evidence.of(metric, pair).crossed for pair in pairs},
        looks=looks if values["seed"].nunique() in looks else (),
        alpha=ALPHA,
        level=LEVEL,
    )


def _undecided(pair: PairVerdict) -> PairVerdict:
    """The pair with its numbers, of which nothing is concluded."""
    return replace(
        pair,
        outcome=Outcome.UNDECIDED,
        winner=None,
        strength=Strength.EXPLORATORY,
        population=Population.THESE_CLIPS,
    )


def _least_strength(pair: PairVerdict) -> Strength:
    """What a decided pair's outcome weighs after a look that no plan names."""
    return pair.strength if pair.strength is Strength.NONE else Strength.EXPLORATORY


def _secondary_pairs(
    records: Sequence[RunRecord],
    metrics: Sequence[str],
    *,
    evidence: Evidence,
    margins: Mapping[str, float],
    certificates: Sequence[Certificate] = (),
) -> list[tuple[str, PairVerdict]]:
    """Pairs of all other metrics, adjusted together; none of them decides."""
    found = [
        (name, pair)
        for name in metrics
        for pair in _judged_pairs(records, name, evidence=evidence, margin=margins.get(name, 0.0))
    ]
    adjusted = benjamini_hochberg([pair.difference.t_p for _, pair in found])
    both = benjamini_hochberg(
        [
            1.0 if pair.crossed is None else max(pair.difference.t_p, pair.crossed.p)
            for _, pair in found
        ]
    )
    results = []
    for (name, pair), p, both_p in zip(found, adjusted, both, strict=True):
        judged = verdict(
            pair.difference,
            first=pair.first,
            second=pair.second,
            higher_is_better=higher_is_better(records, name),
            margin=pair.margin,
            adjusted_p=float(p),
            crossed=pair.crossed,
            adjusted_both_p=math.nan if pair.crossed is None else float(both_p),
            alpha=ALPHA,
        )
        if _caution_of(records, name, certificates=certificates) is not None:
            judged = _undecided(judged)
        results.append((name, replace(judged, strength=Strength.EXPLORATORY)))
    return results


def _strength_of(
    outcome: Outcome,
    pairs: Sequence[PairVerdict],
    *,
    is_tested: bool,
    num_seeds: int,
    looks: Looks,
) -> tuple[Strength, Population]:
    """(How much weight the outcome bears, what it speaks of)."""
    population = Population.THESE_CLIPS
    if outcome is not Outcome.UNDECIDED and all(p.population is Population.CLIPS for p in pairs):
        population = Population.CLIPS
    if not is_tested or num_seeds < MIN_SEEDS_FOR_A_WIN:
        return Strength.EXPLORATORY, population
    if outcome is Outcome.UNDECIDED:
        return Strength.NONE, population
    if looks.unplanned:
        return Strength.EXPLORATORY, population
    is_confirmed = population is Population.CLIPS
    return Strength.CONFIRMED if is_confirmed else Strength.THESE_CLIPS, population


def _trainings_of(
    records: Sequence[RunRecord], metric: str, pairs: Sequence[PairVerdict]
) -> Trainings:
    """How the trainings are distributed on the metric."""
    values: dict[str, dict[int, float]] = {}
    for record in records:
        value = record.value(metric)
        if value is not None:
            values.setdefault(record.identity.variant, {})[record.identity.seed] = float(value)
    differences = {
        f"{pair.first} - {pair.second}": [
            values[pair.first][seed] - values[pair.second][seed]
            for seed in sorted(values[pair.first].keys() & values[pair.second].keys())
        ]
        for pair in pairs
    }
    found = shape_of(
        values, differences=differences, higher_is_better=higher_is_better(records, metric)
    )
    return Trainings(
        collapsed=found.collapsed,
        num_seeds=found.num_seeds,
        unseen_share=found.unseen_share,
        skewed=found.skewed,
        speaks=found.speaks,
    )


def _caution_of(
    records: Sequence[RunRecord], metric: str, *, certificates: Sequence[Certificate] = ()
) -> str | None:
    """Why a metric may not rank here: a distance known to rank wrongly at this many images, or a
    score of listening by scorers that are at chance on real clips."""
    for record in records:
        score = record.metrics.get(metric)
        if score is not None and not score.is_rankable:
            return score.caution or f"not at n = {score.n}"
    return unfit(records, metric, certificates=certificates)
