"""What records allow one to say: pairs, intervals, adjusted p-values, one verdict.

Nothing here runs or draws anything; the same records always give the same numbers.
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Literal

import pandas as pd

from core.errors import UsageError
from core.files import file_sha256
from harness.comparison.clips import (
    NO_CLIPS,
    ClipEvidence,
    clip_evidence,
    headline_clips,
    matched_runs,
    stored_test,
    stored_variance,
)
from harness.comparison.eligibility import (
    budget_of,
    eligibility,
    require_comparable,
)
from harness.comparison.evidence import Interval, Looks, Selection, Trainings
from harness.comparison.failures import earlier_failures_sentence
from harness.comparison.listening import listening_of
from harness.comparison.power import detectable, power_table, sd_interval
from harness.comparison.record import (
    ComparedRun,
    ComparisonRecord,
    PairResult,
)
from harness.comparison.runs import LoadedRun
from harness.comparison.sentences import (
    claim_sentence,
    pair_sentence,
    shape_notices,
    verdict_sentence,
)
from harness.comparison.shortfall import to_add
from harness.comparison.tables import higher_is_better, metric_names, metric_rows
from harness.comparison.tuning import (
    chosen_by_sentence,
    inequalities,
    inequality_sentence,
    tuning_by_branch,
)
from harness.metrics.decidable import too_small
from harness.metrics.registry import metric as declared
from harness.records.folders import RunFolder
from harness.records.record import RunRecord, Status, now
from harness.settings.branch_config import Tuning
from harness.statistics.exaggeration import exaggeration
from harness.statistics.multiplicity import benjamini_hochberg
from harness.statistics.outcome import MAX_SEEDS, MIN_SEEDS_FOR_A_WIN, Outcome, Population, Strength
from harness.statistics.paired import PairedDifference
from harness.statistics.shapes import shape_of
from harness.statistics.verdict import PairVerdict, compare_pairs, leader, verdict

ALPHA = 0.05
_LEVEL = 0.95


def analyse(
    runs: Sequence[LoadedRun],
    *,
    metric: str,
    margins: Mapping[str, float] | None = None,
    folder: Path,
    command: str,
    allow_mixed_environment: bool = False,
    notices: Sequence[str] = (),
    tuning: Mapping[str, Tuning] | None = None,
    looks: Looks | None = None,
) -> ComparisonRecord:
    """The comparison of finished and failed runs of one matrix; writes nothing.

    metric: what the verdict rests on. margins: by metric, differences too small to matter, set
    before the runs. folder: where the comparison will be saved; the runs' places are told from
    there. tuning: how branches were tuned, beyond what their records say. looks: at which numbers
    of seeds it was and will be decided.

    Raises:
        UsageError: no runs, more seeds than the exact test takes, or an unknown metric.
        MismatchError: records that may not be compared, naming the field.
        DataError: a per-clip table that is missing or damaged, or a tuning that no sweep writes.
    """
    if not runs:
        raise UsageError("no runs to compare")
    primary = declared(metric)
    records = [run.record for run in runs]
    require_comparable(records, allow_mixed_environment=allow_mixed_environment)
    margins = margins or {}
    finished = [run for run in runs if run.record.status is Status.FINISHED]
    failed = [r for r in records if r.status is Status.FAILED]
    done = [run.record for run in finished]
    branches = list(dict.fromkeys(r.identity.variant for r in records))
    tuned = tuning_by_branch(records, known=tuning)
    flattered = chosen_by_sentence(tuned, seeds=[r.identity.seed for r in records])
    retried = earlier_failures_sentence(records)
    unequal = inequalities(branches, tuning=tuned, split_hash=records[0].identity.split_hash)
    seeds = sorted({r.identity.seed for r in done})
    if len(seeds) > MAX_SEEDS:
        raise UsageError(f"{len(seeds)} seeds; a comparison takes at most {MAX_SEEDS}")
    caution = _caution(done, metric)
    looks = looks or Looks()
    clips = headline_clips(finished)
    evidence = _Evidence(done, clips)
    # A run that failed or has no value must not drop out of the pairing unseen.
    pairs = (
        []
        if failed
        else _pairs(
            done, metric, evidence=evidence, margin=margins.get(metric, 0.0), looks=looks.planned
        )
    )
    if caution is not None:
        pairs = [_undecided(pair) for pair in pairs]
    others = [name for name in metric_names(done) if name != metric]
    secondary = [] if failed else _secondary(done, others, evidence=evidence, margins=margins)
    winner = leader(pairs) if pairs else None
    outcome = Outcome.UNDECIDED
    if winner is not None:
        outcome = Outcome.WIN
    elif pairs and all(pair.outcome is Outcome.TIE for pair in pairs):
        outcome = Outcome.TIE
    is_tested = bool(pairs) and caution is None
    deciding = [p for p in pairs if winner is None or winner in (p.first, p.second)]
    strength, population = _strength(
        outcome, deciding, is_tested=is_tested, num_seeds=len(seeds), looks=looks
    )
    trainings = _trainings(done, metric, pairs) if is_tested else None
    num_pairs = math.comb(len(branches), 2)
    return ComparisonRecord(
        name=folder.name,
        created_at=now(),
        command=command,
        profile=records[0].identity.profile,
        metric=metric,
        higher_is_better=primary.higher_is_better,
        alpha=ALPHA,
        verdict=verdict_sentence(
            metric=metric,
            records=done,
            failed=failed,
            outcome=outcome,
            winner=winner,
            population=population,
            caution=caution,
        ),
        outcome=outcome,
        winner=winner,
        strength=strength,
        claim=claim_sentence(
            outcome,
            is_tested=is_tested,
            num_seeds=len(seeds),
            num_pairs=max(1, num_pairs),
            alpha=ALPHA,
            population=population,
            trainings=trainings,
            looks=looks,
        ),
        branches=branches,
        seeds=seeds,
        pairs=[_result(pair, metric, evidence, adjustment="holm") for pair in pairs],
        secondary=[
            _result(pair, name, evidence, adjustment="benjamini_hochberg")
            for name, pair in secondary
        ],
        metrics=metric_rows(records, branches=branches, primary=metric),
        runs=[_compared(run, folder=folder) for run in _in_order(runs, branches)],
        failed=[r.run_id for r in failed],
        eligibility=eligibility(records),
        power=power_table(
            len(seeds),
            num_branches=len(branches),
            sds={
                f"{pair.first} - {pair.second}": pair.difference.sd
                for pair in pairs
                if math.isfinite(pair.difference.sd)
            },
            alpha=ALPHA,
        ),
        tuning=tuned,
        notices=[
            *notices,
            *too_small(
                {name: row.get("test", 0) for name, row in records[0].split.counts.items()},
                metric=primary,
            ),
            *([inequality_sentence(unequal)] if unequal else ()),
            *([flattered] if flattered else ()),
            *([retried] if retried else ()),
            *([] if trainings is None else shape_notices(trainings)),
        ],
        population=population,
        trainings=trainings,
        looks=looks,
        to_add=to_add(done, deciding, outcome=outcome, alpha=ALPHA) if is_tested else None,
        listening=listening_of(done, branches=branches, primary=metric),
    )


# Pairs -----------------------------------------------------------------------------------


def _seed_values(records: Sequence[RunRecord], metric: str) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"branch": r.identity.variant, "seed": r.identity.seed, "value": r.value(metric)}
            for r in records
        ],
        columns=["branch", "seed", "value"],
    )


class _Evidence:
    """What the clips say of each pair and metric, computed when it is first asked for."""

    def __init__(self, records: Sequence[RunRecord], clips: Mapping[str, pd.DataFrame]) -> None:
        self.records = records
        self._clips = clips
        self._known: dict[tuple[str, str, str], ClipEvidence] = {}

    def of(self, metric: str, pair: tuple[str, str]) -> ClipEvidence:
        """The pair's on this metric."""
        key = (metric, *pair)
        if key not in self._known:
            matched = matched_runs(self.records, pair)
            self._known[key] = clip_evidence(matched, metric, clips=self._clips, level=_LEVEL)
        return self._known[key]


def _pairs(
    records: Sequence[RunRecord],
    metric: str,
    *,
    evidence: _Evidence,
    margin: float,
    looks: Sequence[int] = (),
) -> list[PairVerdict]:
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
        level=_LEVEL,
    )


def _undecided(pair: PairVerdict) -> PairVerdict:
    return replace(
        pair,
        outcome=Outcome.UNDECIDED,
        winner=None,
        strength=Strength.EXPLORATORY,
        population=Population.THESE_CLIPS,
    )


def _secondary(
    records: Sequence[RunRecord],
    metrics: Sequence[str],
    *,
    evidence: _Evidence,
    margins: Mapping[str, float],
) -> list[tuple[str, PairVerdict]]:
    """Pairs of all other metrics, adjusted together; none of them decides."""
    found = [
        (name, pair)
        for name in metrics
        for pair in _pairs(records, name, evidence=evidence, margin=margins.get(name, 0.0))
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
        if _caution(records, name) is not None:
            judged = _undecided(judged)
        results.append((name, replace(judged, strength=Strength.EXPLORATORY)))
    return results


def _strength(
    outcome: Outcome,
    pairs: Sequence[PairVerdict],
    *,
    is_tested: bool,
    num_seeds: int,
    looks: Looks,
) -> tuple[Strength, Population]:
    """(how much weight the outcome bears, what it speaks of)."""
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


def _trainings(
    records: Sequence[RunRecord], metric: str, pairs: Sequence[PairVerdict]
) -> Trainings:
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


def _caution(records: Sequence[RunRecord], metric: str) -> str | None:
    """Why a metric may not rank here: a distance known to rank wrongly at this many images."""
    for record in records:
        score = record.metrics.get(metric)
        if score is not None and not score.is_rankable:
            return score.caution or f"not at n = {score.n}"
    return None


def _result(
    pair: PairVerdict,
    metric: str,
    evidence: _Evidence,
    *,
    adjustment: Literal["holm", "benjamini_hochberg"],
) -> PairResult:
    found, records = pair.difference, evidence.records
    matched = matched_runs(records, (pair.first, pair.second))
    clips = evidence.of(metric, (pair.first, pair.second)) if matched else NO_CLIPS
    num_branches = len({record.identity.variant for record in records})
    is_primary = adjustment == "holm"
    smallest, why = None, None
    if is_primary:
        smallest, why = detectable(pair, num_branches=num_branches, alpha=ALPHA)
    return PairResult(
        metric=metric,
        higher_is_better=higher_is_better(records, metric),
        first=pair.first,
        second=pair.second,
        n=found.n,
        effect=found.mean,
        sd=_finite(found.sd),
        interval=_interval(found, level=found.level),
        bootstrap=clips.bootstrap,
        p=_finite(found.t_p),
        adjusted_p=_finite(pair.adjusted_p),
        adjustment=adjustment,
        sign_flip_p=_finite(found.sign_flip_p) if found.n > 1 else None,
        smallest_sign_flip_p=_finite(found.smallest_sign_flip_p) if found.n > 1 else None,
        margin=pair.margin,
        detectable=smallest,
        verdict=pair.outcome,
        strength=pair.strength,
        winner=pair.winner,
        ahead=pair.ahead,
        sentence=pair_sentence(pair, metric=metric, is_primary=is_primary),
        differences={
            seed: ours - theirs
            for seed, (one, other) in matched.items()
            if (ours := one.value(metric)) is not None
            and (theirs := other.value(metric)) is not None
        },
        population=pair.population,
        simultaneous=(
            _interval(found, level=1 - (1 - _LEVEL) / math.comb(num_branches, 2))
            if is_primary
            else None
        ),
        sd_interval=sd_interval(found.sd, num_seeds=found.n),
        why_no_detectable=why,
        adjusted_both_p=_finite(pair.adjusted_both_p),
        other_clips=stored_test(clips.crossed),
        other_classes=stored_test(clips.classes),
        variance=stored_variance(clips.crossed),
        selection=_selection(pair, num_branches=num_branches) if is_primary else None,
    )


def _interval(found: PairedDifference, *, level: float) -> Interval | None:
    """Student's t interval of the mean over seeds."""
    if found.n < 2:
        return None
    low, high = found.at_level(level)
    return Interval(low=low, high=high, level=level)


def _selection(pair: PairVerdict, *, num_branches: int) -> Selection | None:
    if pair.winner is None:
        return None
    found = exaggeration(
        pair.difference.mean,
        sd=pair.difference.sd,
        num_seeds=pair.difference.n,
        num_pairs=math.comb(num_branches, 2),
        alpha=ALPHA,
    )
    if found is None:
        return None
    return Selection(factor=found.factor, shrunken=found.shrunken, is_at_least=found.is_at_least)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


# Runs ------------------------------------------------------------------------------------


def _in_order(runs: Sequence[LoadedRun], branches: Sequence[str]) -> list[LoadedRun]:
    place = {branch: index for index, branch in enumerate(branches)}
    return sorted(
        runs, key=lambda run: (run.record.identity.seed, place[run.record.identity.variant])
    )


def _compared(run: LoadedRun, *, folder: Path) -> ComparedRun:
    record, path = run.record, RunFolder(run.folder).record
    return ComparedRun(
        run_id=record.run_id,
        branch=record.identity.variant,
        seed=record.identity.seed,
        status=record.status,
        error=record.error,
        folder=Path(os.path.relpath(run.folder, folder)).as_posix(),
        command=record.command,
        finished_at=record.finished_at,
        steps=record.steps_done,
        samples=record.samples_seen,
        budget=budget_of(record),
        seconds=record.seconds,
        device=record.cost.device,
        peak_memory_bytes=record.cost.peak_memory_bytes,
        parameters=record.parameters,
        test_openings=record.test_openings,
        guards_passed=record.guards_passed,
        notices=record.notices,
        record_sha256=file_sha256(path) if path.is_file() else None,
    )
