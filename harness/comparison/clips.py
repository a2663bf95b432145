"""Paired differences clip by clip: tables, the interval by bootstrap, the test for other clips."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.comparison.evidence import ClipBootstrap, Interval, OtherClips, Variance
from harness.comparison.runs import LoadedRun
from harness.metrics.metric import Level
from harness.metrics.registry import metric as declared
from harness.records.record import RunRecord
from harness.statistics.bootstrap import hierarchical_bootstrap
from harness.statistics.crossed import CrossedTest, class_test, crossed_test

CLIP = ["sample_id", "class_name"]


def headline_clips(runs: Sequence[LoadedRun]) -> dict[str, pd.DataFrame]:
    """By metric, [clip, run id] each clip's mean over draws, in the arm that the run's own numbers
    come from; the index holds sample_id and class_name. A distance has its clips' contributions,
    whose mean it is."""
    if not runs:
        return {}
    parts = []
    for run in runs:
        arms = {score.arm for score in run.record.metrics.values()}
        table = pd.concat([run.per_clip, run.contributions], ignore_index=True)
        parts.append(table[table["arm"].isin(arms)].assign(run_id=run.record.run_id))
    joined = pd.concat(parts, ignore_index=True)
    # NaN is left out of a clip's mean; a clip without any score keeps NaN.
    means = joined.groupby(["metric", *CLIP, "run_id"], sort=False)["value"].mean().unstack()
    return {str(name): means.xs(name, level="metric") for name in joined["metric"].unique()}


def matched_runs(
    records: Sequence[RunRecord], pair: tuple[str, str]
) -> dict[int, tuple[RunRecord, RunRecord]]:
    """By seed, the two runs of a pair, for the seeds that both have."""
    first, second = (
        {r.identity.seed: r for r in records if r.identity.variant == name} for name in pair
    )
    return {seed: (first[seed], second[seed]) for seed in sorted(first.keys() & second.keys())}


@dataclass(frozen=True)
class ClipEvidence:
    """What the clips of one pair say on one metric."""

    bootstrap: ClipBootstrap | None
    """Interval over seeds, classes and clips."""
    crossed: CrossedTest | None
    """For other trainings and other clips of these classes."""
    classes: CrossedTest | None
    """For other classes too."""


NO_CLIPS = ClipEvidence(None, None, None)


def clip_evidence(
    matched: Mapping[int, tuple[RunRecord, RunRecord]],
    metric: str,
    *,
    clips: Mapping[str, pd.DataFrame],
    level: float,
) -> ClipEvidence:
    """What the clips say of a pair; nothing with one seed or a metric without values of clips."""
    if len(matched) < 2 or metric not in clips:
        return NO_CLIPS
    ours, theirs = (
        clips[metric][[runs[side].run_id for runs in matched.values()]].set_axis(
            list(matched), axis="columns"
        )
        for side in (0, 1)
    )
    scale = float(np.nanmax(np.abs(np.concatenate([ours, theirs])), initial=0.0))
    wide = (ours - theirs).rename_axis(columns="seed")
    values = wide.to_numpy(dtype="float64").T
    classes = [str(name) for name in wide.index.get_level_values("class_name")]
    return ClipEvidence(
        bootstrap=_bootstrap(wide, level=level, scale=scale) if _is_per_clip(metric) else None,
        crossed=crossed_test(values, classes=classes, level=level, scale=scale),
        classes=class_test(values, classes=classes, level=level, scale=scale),
    )


def _bootstrap(wide: pd.DataFrame, *, level: float, scale: float) -> ClipBootstrap | None:
    values_NS = wide.to_numpy(dtype="float64")
    if np.isnan(values_NS).all():
        return None
    found = hierarchical_bootstrap(
        values_NS, clips=_classes_and_ids(wide), level=level, scale=scale
    )
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return None
    return ClipBootstrap(
        interval=Interval(low=found.low, high=found.high, level=found.level),
        num_seeds=found.num_seeds,
        num_classes=found.num_classes,
        num_clips=found.num_clips,
        classes_drawn=found.classes_drawn,
    )


def _classes_and_ids(wide: pd.DataFrame) -> list[tuple[str, str]]:
    columns = (wide.index.get_level_values(name) for name in ("class_name", "sample_id"))
    return [(str(name), str(clip)) for name, clip in zip(*columns, strict=True)]


def _is_per_clip(metric: str) -> bool:
    return declared(metric).level is Level.CLIP


def stored_test(found: CrossedTest | None, *, level: float) -> OtherClips | None:
    """The test as the record keeps it, with its interval at this coverage."""
    if found is None:
        return None
    low, high = found.at_level(level)
    return OtherClips(
        population=found.population,
        interval=None if math.isnan(low) else Interval(low=low, high=high, level=level),
        p=found.p,
        freedom=found.freedom,
        num_clips=found.components.num_clips,
        left_out=found.left_out,
        classes_apart=found.classes_apart,
    )


def stored_variance(found: CrossedTest | None) -> Variance | None:
    """Its variance components, and what would narrow the interval; None without an interval."""
    if found is None or math.isnan(found.low):
        return None
    parts, seeds, clips = found.components, found.components.num_seeds, found.components.num_clips
    return Variance(
        seeds=parts.seeds,
        clips=parts.clips,
        rest=parts.rest,
        half_width=parts.half_width(seeds=seeds, clips=clips, level=found.level),
        twice_the_seeds=parts.half_width(seeds=2 * seeds, clips=clips, level=found.level),
        twice_the_clips=parts.half_width(seeds=seeds, clips=2 * clips, level=found.level),
        twice_the_images=parts.half_width(seeds=seeds, clips=clips, images=2, level=found.level),
    )
