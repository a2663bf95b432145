"""The rows of a comparison's record: one of a judged pair, one of a run."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from core.files import file_sha256
from harness.comparison.clips import (
    NO_CLIPS,
    matched_runs,
    stored_test,
    stored_variance,
)
from harness.comparison.eligibility import budget_of
from harness.comparison.evidence import Interval, Selection
from harness.comparison.judging import LEVEL, Evidence
from harness.comparison.pair_result import PairResult
from harness.comparison.power import detectable, sd_interval
from harness.comparison.record import ComparedRun
from harness.comparison.runs import LoadedRun
from harness.comparison.sentences import pair_sentence
from harness.comparison.tables import higher_is_better
from harness.records.folders import RunFolder
from harness.statistics.exaggeration import exaggeration
from harness.statistics.looks import interval_level
from harness.statistics.outcome import ALPHA
from harness.statistics.paired import PairedDifference
from harness.statistics.verdict import PairVerdict


def pair_result(
    pair: PairVerdict,
    metric: str,
    evidence: Evidence,
    *,
    adjustment: Literal["holm", "benjamini_hochberg"],
    looks: Sequence[int] = (),
) -> PairResult:
    """The row of a pair on one metric.

    adjustment: what its `adjusted_p` is adjusted by. looks: the planned numbers of seeds, over all
    of which, and all pairs, the primary metric's intervals hold.
    """
    found, records = pair.difference, evidence.records
    matched = matched_runs(records, (pair.first, pair.second))
    clips = evidence.of(metric, (pair.first, pair.second)) if matched else NO_CLIPS
    num_branches = len({record.identity.variant for record in records})
    is_primary = adjustment == "holm"
    smallest, why = None, None
    level = LEVEL
    if is_primary:
        num_pairs = math.comb(num_branches, 2)
        level = interval_level(looks, num_seeds=found.n, num_pairs=num_pairs, level=LEVEL)
        smallest, why = detectable(pair, num_branches=num_branches, alpha=ALPHA, looks=looks)
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
        simultaneous=(_interval(found, level=level) if is_primary else None),
        sd_interval=sd_interval(found.sd, num_seeds=found.n),
        why_no_detectable=why,
        adjusted_both_p=_finite(pair.adjusted_both_p),
        other_clips=stored_test(clips.crossed, level=level),
        other_classes=stored_test(clips.classes, level=level),
        variance=stored_variance(clips.crossed),
        selection=_selection(pair, num_branches=num_branches, looks=looks) if is_primary else None,
    )


def _interval(found: PairedDifference, *, level: float) -> Interval | None:
    """Student's t interval of the mean over seeds; None without a spread to make it of."""
    if math.isnan(found.low):
        return None
    low, high = found.at_level(level)
    return Interval(low=low, high=high, level=level)


def _selection(pair: PairVerdict, *, num_branches: int, looks: Sequence[int]) -> Selection | None:
    if pair.winner is None:
        return None
    found = exaggeration(
        pair.difference.mean,
        sd=pair.difference.sd,
        num_seeds=pair.difference.n,
        num_pairs=math.comb(num_branches, 2),
        looks=tuple(looks),
        alpha=ALPHA,
    )
    if found is None:
        return None
    return Selection(factor=found.factor, shrunken=found.shrunken, is_at_least=found.is_at_least)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def compared_run(run: LoadedRun, *, folder: Path) -> ComparedRun:
    """The row of a run, for the comparison in `folder`."""
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
