"""Which pairs of branches differ, on the deciding metric and on the others, and what it weighs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import pandas as pd

from harness.comparison.certified import unfit
from harness.comparison.clips import (
    ClipEvidence,
    clip_evidence,
    matched_runs,
)
from harness.comparison.evidence import Looks, Trainings
from harness.comparison.tables import higher_is_better
from harness.records.certificate import Certificate
from harness.records.record import RunRecord
from harness.statistics.multiplicity import benjamini_hochberg
from harness.statistics.outcome import ALPHA, MIN_SEEDS_FOR_A_WIN, Outcome, Population, Strength
from harness.statistics.shapes import shape_of
from harness.statistics.verdict import PairVerdict, compare_pairs, verdict

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


def judged_pairs(
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


def undecided(pair: PairVerdict) -> PairVerdict:
    """The pair with its numbers, of which nothing is concluded."""
    return replace(
        pair,
        outcome=Outcome.UNDECIDED,
        winner=None,
        strength=Strength.EXPLORATORY,
        population=Population.THESE_CLIPS,
    )


def least_strength(pair: PairVerdict) -> Strength:
    """What a decided pair's outcome weighs after a look that no plan names."""
    return pair.strength if pair.strength is Strength.NONE else Strength.EXPLORATORY


def secondary_pairs(
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
        for pair in judged_pairs(records, name, evidence=evidence, margin=margins.get(name, 0.0))
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
        if caution_of(records, name, certificates=certificates) is not None:
            judged = undecided(judged)
        results.append((name, replace(judged, strength=Strength.EXPLORATORY)))
    return results


def strength_of(
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


def trainings_of(
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


def caution_of(
    records: Sequence[RunRecord], metric: str, *, certificates: Sequence[Certificate] = ()
) -> str | None:
    """Why a metric may not rank here: a distance known to rank wrongly at this many images, or a
    score of listening by scorers that are at chance on real clips."""
    for record in records:
        score = record.metrics.get(metric)
        if score is not None and not score.is_rankable:
            return score.caution or f"not at n = {score.n}"
    return unfit(records, metric, certificates=certificates)
