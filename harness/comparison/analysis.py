"""What records allow one to say: pairs, intervals, adjusted p-values, one verdict.

Nothing here runs or draws anything; the same records always give the same numbers.
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pandas as pd

from core.errors import UsageError
from core.files import json_sha256
from harness.comparison.eligibility import (
    budget_of,
    eligibility,
    require_comparable,
)
from harness.comparison.failures import earlier_failures_sentence
from harness.comparison.power import power_table
from harness.comparison.record import (
    ClipBootstrap,
    ComparedRun,
    ComparisonRecord,
    Interval,
    PairResult,
)
from harness.comparison.runs import LoadedRun
from harness.comparison.sentences import claim_sentence, pair_sentence, verdict_sentence
from harness.comparison.tables import higher_is_better, metric_names, metric_rows
from harness.comparison.tuning import (
    chosen_by_sentence,
    inequalities,
    inequality_sentence,
    tuning_by_branch,
)
from harness.metrics.metric import Level
from harness.metrics.registry import metric as declared
from harness.records.record import RunRecord, Status, now
from harness.settings.branch_config import Tuning
from harness.statistics.bootstrap import hierarchical_bootstrap
from harness.statistics.multiplicity import benjamini_hochberg
from harness.statistics.outcome import MAX_SEEDS, Outcome, Strength
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
) -> ComparisonRecord:
    """The comparison of finished and failed runs of one matrix; writes nothing.

    metric: what the verdict rests on. margins: by metric, differences too small to matter, set
    before the runs. folder: where the comparison will be saved; the runs' places are told from
    there. tuning: how branches were tuned, beyond what their records say.

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
    clips = _headline_clips(finished)
    # A run that failed or has no value must not drop out of the pairing unseen.
    pairs = [] if failed else _pairs(done, metric, margin=margins.get(metric, 0.0))
    if caution is not None:
        pairs = [replace(pair, outcome=Outcome.UNDECIDED, winner=None) for pair in pairs]
    others = [name for name in metric_names(done) if name != metric]
    secondary = [] if failed else _secondary(done, others, margins=margins)
    winner = leader(pairs) if pairs else None
    outcome = Outcome.UNDECIDED
    if winner is not None:
        outcome = Outcome.WIN
    elif pairs and all(pair.outcome is Outcome.TIE for pair in pairs):
        outcome = Outcome.TIE
    strength = Strength.EXPLORATORY
    is_tested = bool(pairs) and caution is None
    if is_tested and all(pair.strength is Strength.CONFIRMED for pair in pairs):
        strength = Strength.CONFIRMED
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
        ),
        branches=branches,
        seeds=seeds,
        pairs=[_result(pair, metric, done, clips=clips, adjustment="holm") for pair in pairs],
        secondary=[
            _result(pair, name, done, clips=clips, adjustment="benjamini_hochberg")
            for name, pair in secondary
        ],
        metrics=metric_rows(records, branches=branches, primary=metric),
        runs=[_compared(run, folder=folder) for run in _in_order(runs, branches)],
        failed=[r.run_id for r in failed],
        eligibility=eligibility(records),
        power=power_table(
            len(seeds),
            num_pairs=num_pairs,
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
            *([inequality_sentence(unequal)] if unequal else ()),
            *([flattered] if flattered else ()),
            *([retried] if retried else ()),
        ],
    )


def comparison_name(run_ids: Sequence[str], *, metric: str, margins: Mapping[str, float]) -> str:
    """Name of a comparison's folder: the same runs and question, the same folder."""
    content = {"runs": sorted(run_ids), "metric": metric, "margins": dict(margins)}
    return f"compare-{json_sha256(content)[:12]}"


# Pairs -----------------------------------------------------------------------------------


def _seed_values(records: Sequence[RunRecord], metric: str) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"branch": r.identity.variant, "seed": r.identity.seed, "value": r.value(metric)}
            for r in records
        ],
        columns=["branch", "seed", "value"],
    )


def _pairs(records: Sequence[RunRecord], metric: str, *, margin: float) -> list[PairVerdict]:
    values = _seed_values(records, metric)
    if values["value"].isna().any() or values["branch"].nunique() < 2:
        return []
    values["value"] = values["value"].astype(float)
    return compare_pairs(
        values,
        higher_is_better=higher_is_better(records, metric),
        margin=margin,
        alpha=ALPHA,
        level=_LEVEL,
    )


def _secondary(
    records: Sequence[RunRecord], metrics: Sequence[str], *, margins: Mapping[str, float]
) -> list[tuple[str, PairVerdict]]:
    """Pairs of all other metrics, adjusted together; none of them decides."""
    found = [
        (name, pair)
        for name in metrics
        for pair in _pairs(records, name, margin=margins.get(name, 0.0))
    ]
    adjusted = benjamini_hochberg([pair.difference.t_p for _, pair in found])
    results = []
    for (name, pair), p in zip(found, adjusted, strict=True):
        judged = verdict(
            pair.difference,
            first=pair.first,
            second=pair.second,
            higher_is_better=higher_is_better(records, name),
            margin=pair.margin,
            adjusted_p=float(p),
            alpha=ALPHA,
        )
        if _caution(records, name) is not None:
            judged = replace(judged, outcome=Outcome.UNDECIDED, winner=None)
        results.append((name, replace(judged, strength=Strength.EXPLORATORY)))
    return results


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
    records: Sequence[RunRecord],
    *,
    clips: Mapping[str, pd.DataFrame],
    adjustment: Literal["holm", "benjamini_hochberg"],
) -> PairResult:
    found = pair.difference
    by_branch = {
        name: {r.identity.seed: r for r in records if r.identity.variant == name}
        for name in (pair.first, pair.second)
    }
    common = sorted(by_branch[pair.first].keys() & by_branch[pair.second].keys())
    matched = {seed: (by_branch[pair.first][seed], by_branch[pair.second][seed]) for seed in common}
    interval = None
    if found.n > 1:
        interval = Interval(low=found.low, high=found.high, level=found.level)
    return PairResult(
        metric=metric,
        higher_is_better=higher_is_better(records, metric),
        first=pair.first,
        second=pair.second,
        n=found.n,
        effect=found.mean,
        sd=_finite(found.sd),
        interval=interval,
        bootstrap=_clip_bootstrap(matched, metric, clips=clips),
        p=_finite(found.t_p),
        adjusted_p=_finite(pair.adjusted_p),
        adjustment=adjustment,
        sign_flip_p=_finite(found.sign_flip_p) if found.n > 1 else None,
        smallest_sign_flip_p=_finite(found.smallest_sign_flip_p) if found.n > 1 else None,
        margin=pair.margin,
        detectable=_finite(pair.detectable),
        verdict=pair.outcome,
        strength=pair.strength,
        winner=pair.winner,
        ahead=pair.ahead,
        sentence=pair_sentence(pair, metric=metric, is_primary=adjustment == "holm"),
        differences={
            seed: ours - theirs
            for seed, (one, other) in matched.items()
            if (ours := one.value(metric)) is not None
            and (theirs := other.value(metric)) is not None
        },
    )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


# Clips -----------------------------------------------------------------------------------


def _headline_clips(runs: Sequence[LoadedRun]) -> dict[str, pd.DataFrame]:
    """By metric, [clip, run id] each clip's mean over draws, in the arm that the run's own numbers
    come from; the index holds sample_id and class_name."""
    if not runs:
        return {}
    parts = []
    for run in runs:
        arms = {score.arm for score in run.record.metrics.values()}
        table = run.per_clip
        parts.append(table[table["arm"].isin(arms)].assign(run_id=run.record.run_id))
    joined = pd.concat(parts, ignore_index=True)
    clip = ["sample_id", "class_name"]
    # NaN is left out of a clip's mean; a clip without any score keeps NaN.
    means = joined.groupby(["metric", *clip, "run_id"], sort=False)["value"].mean().unstack()
    return {str(name): means.xs(name, level="metric") for name in joined["metric"].unique()}


def _clip_bootstrap(
    matched: Mapping[int, tuple[RunRecord, RunRecord]],
    metric: str,
    *,
    clips: Mapping[str, pd.DataFrame],
) -> ClipBootstrap | None:
    if len(matched) < 2 or metric not in clips or not _is_per_clip(metric):
        return None
    ours, theirs = (
        clips[metric][[runs[side].run_id for runs in matched.values()]].set_axis(
            list(matched), axis="columns"
        )
        for side in (0, 1)
    )
    wide = (ours - theirs).rename_axis(columns="seed")
    differences = wide.stack().rename("value").reset_index()
    if differences["value"].notna().sum() == 0:
        return None
    found = hierarchical_bootstrap(differences, level=_LEVEL)
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return None
    return ClipBootstrap(
        interval=Interval(low=found.low, high=found.high, level=found.level),
        num_seeds=found.num_seeds,
        num_classes=found.num_classes,
        num_clips=found.num_clips,
        classes_drawn=found.classes_drawn,
    )


def _is_per_clip(metric: str) -> bool:
    return declared(metric).level is Level.CLIP


# Runs ------------------------------------------------------------------------------------


def _in_order(runs: Sequence[LoadedRun], branches: Sequence[str]) -> list[LoadedRun]:
    place = {branch: index for index, branch in enumerate(branches)}
    return sorted(
        runs, key=lambda run: (run.record.identity.seed, place[run.record.identity.variant])
    )


def _compared(run: LoadedRun, *, folder: Path) -> ComparedRun:
    record = run.record
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
        seconds=record.cost.seconds,
        device=record.cost.device,
        peak_memory_bytes=record.cost.peak_memory_bytes,
        parameters=record.parameters,
        test_openings=record.test_openings,
        guards_passed=record.guards_passed,
        notices=record.notices,
    )
