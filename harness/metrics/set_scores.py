"""Every distance between an arm's images and the real ones: value, error, and course over n.

Shape legend: N images of an arm, M real test images, D feature width, B resamples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.randomness import rng
from harness.metrics.arms import REAL
from harness.metrics.batch import Batch, picture_features
from harness.metrics.distribution import (
    CMMD_SCALE,
    Distance,
    FrechetDistance,
    Indices,
    KernelDistance,
    cmmd_kernel,
    kid_kernel,
)
from harness.metrics.registry import METRICS, Extractor, Level
from harness.metrics.values import ValueMaker
from harness.records.parts import CurvePoint, MetricValue

Array = NDArray[np.float64]

SMALLEST_SUBSET = 8
_NUM_RESAMPLES = 200
_NUM_REPEATS, _NUM_REPEATS_LARGE, _LARGE = 10, 3, 512  # an SVD of 512 rows takes about 0.1 s

MISSING = {
    Extractor.INCEPTION: "no Inception-v3 weights; name their folder with --set scorers.inception=",
    Extractor.DINOV2: "no DINOv2 weights; name them with --set scorers.dinov2=",
}


@dataclass(frozen=True)
class _Sides:
    """Two sets whose distance is wanted; `is_paired` if row i of both is the same clip."""

    x_ND: Array
    y_MD: Array
    is_paired: bool


def set_scores(
    batch: Batch,
    *,
    arms: Sequence[str],
    curve_arms: Sequence[str],
    floor: Mapping[str, Path],
    values: ValueMaker,
) -> tuple[dict[str, dict[str, MetricValue]], list[CurvePoint]]:
    """(values by arm and metric, curves of `curve_arms`).

    floor: other real pictures, by id, for the real-vs-real distance; without them the real test
        images are halved, and the floor has half the n.
    """
    found: dict[str, dict[str, MetricValue]] = {arm: {} for arm in arms}
    curves: list[CurvePoint] = []
    for name, declared in METRICS.items():
        if declared.level is not Level.SET:
            continue
        if batch.scorers.pictures(declared.extractor) is None:
            reason = MISSING[declared.extractor]
            for arm in arms:
                found[arm][name] = values.blank(name, arm=arm, reason=reason)
            continue
        for arm in arms:
            sides = _sides(batch, arm=arm, extractor=declared.extractor, floor=floor)
            smallest = min(min(len(s.x_ND), len(s.y_MD)) for s in sides)
            if smallest < 2:
                reason = f"a set of {smallest} images; a distance needs 2 on each side"
                found[arm][name] = values.blank(name, arm=arm, reason=reason)
                continue
            distances = [_DISTANCES[name](s.x_ND, s.y_MD) for s in sides]
            value = values.of_set(
                name,
                float(np.mean([distance.between() for distance in distances])),
                n=min(len(s.x_ND) for s in sides),
                num_real=len(sides[0].y_MD),
                arm=arm,
                error=_standard_error(distances, sides),
            )
            found[arm][name] = value
            if arm in curve_arms:
                curves += _curve(name, distances, sides, value=value)
    return found, curves


def _kid(x_ND: Array, y_MD: Array) -> Distance:
    return KernelDistance.of(x_ND, y_MD=y_MD, kernel=kid_kernel)


def _cmmd(x_ND: Array, y_MD: Array) -> Distance:
    return KernelDistance.of(x_ND, y_MD=y_MD, kernel=cmmd_kernel, scale=CMMD_SCALE)


def _frechet(x_ND: Array, y_MD: Array) -> Distance:
    return FrechetDistance.of(x_ND, y_MD=y_MD)


_DISTANCES = {
    "kid": _kid, "cmmd": _cmmd, "fid": _frechet, "fd_dinov2": _frechet, "frechet_clip": _frechet,
}  # fmt: skip


def _sides(
    batch: Batch, *, arm: str, extractor: Extractor, floor: Mapping[str, Path]
) -> list[_Sides]:
    """One pair of sets a draw.

    Images of one clip over draws are not independent samples: taken together they would bias
    the U-statistic, so each draw is measured alone.
    """
    features_ID = batch.features(extractor)
    real_rows = batch.places(REAL, draw=0)
    real = features_ID[real_rows]
    if arm == REAL:
        if floor:
            other = picture_features(
                floor, scorers=batch.scorers, extractor=extractor, cache=batch.cache
            )
            return [_Sides(other, real, is_paired=False)]
        order = rng(0, "real-vs-real halves", len(real)).permutation(len(real))
        middle = len(order) // 2
        return [_Sides(real[order[:middle]], real[order[middle:]], is_paired=False)]
    clips_of_real = [batch.own[i] for i in real_rows]
    sides = []
    for draw in batch.draws(arm):
        rows = batch.places(arm, draw=draw)
        # In the order of the clips, so that row i of both sides is one clip where both are whole.
        rows.sort(key=lambda i: batch.own[i])
        is_paired = [batch.own[i] for i in rows] == clips_of_real
        sides.append(_Sides(features_ID[rows], real, is_paired))
    return sides


def _standard_error(distances: Sequence[Distance], sides: Sequence[_Sides]) -> float | None:
    """Bootstrap over clips of the mean over draws; None for a distance without kernel matrices."""
    totals = []
    for distance, side in zip(distances, sides, strict=True):
        fewest = min(len(side.x_ND), len(side.y_MD))
        if not isinstance(distance, KernelDistance) or fewest < SMALLEST_SUBSET:
            return None
        # By place and size alone: every draw, metric and branch sees the same resamples.
        x = _resample_counts("x", len(side.x_ND))
        y = x if side.is_paired else _resample_counts("y", len(side.y_MD))
        totals.append(distance.resampled(x, counts_y_BM=y))
    return float(np.nanstd(np.mean(totals, axis=0), ddof=1))


def _resample_counts(side: str, n: int) -> Array:
    draw = rng(0, "bootstrap of a distance", side, n)
    counts = draw.multinomial(n, np.full(n, 1.0 / n), size=_NUM_RESAMPLES)
    return np.asarray(counts, dtype=np.float64)


def _curve(
    name: str, distances: Sequence[Distance], sides: Sequence[_Sides], *, value: MetricValue
) -> list[CurvePoint]:
    """Nested subsets: the first n of one order a repeat, the same in all draws and branches.

    The two sides have orders of their own: with the same clips on both, the share of pairs of an
    image with its own real picture would grow as n falls, and an unbiased distance would sink.
    """
    num_x = min(len(side.x_ND) for side in sides)
    num_y = min(len(side.y_MD) for side in sides)
    most = min(num_x, num_y)
    points = []
    n = SMALLEST_SUBSET
    while n < most:
        repeats = _NUM_REPEATS if n <= _LARGE else _NUM_REPEATS_LARGE
        results = []
        for repeat in range(repeats):
            rows = _first(n, of=num_x, repeat=repeat, side="x")
            columns = _first(n, of=num_y, repeat=repeat, side="y")
            results.append(np.mean([distance.between(rows, columns) for distance in distances]))
        points.append(
            CurvePoint(
                metric=name,
                arm=value.arm,
                n=n,
                mean=float(np.mean(results)),
                sd=float(np.std(results, ddof=1)),
                repeats=repeats,
            )
        )
        n *= 2
    if value.value is not None:
        points.append(
            CurvePoint(metric=name, arm=value.arm, n=most, mean=value.value, sd=None, repeats=1)
        )
    return points


def _first(n: int, *, of: int, repeat: int, side: str) -> Indices:
    return rng(0, "distance against n", side, of, repeat).permutation(of)[:n]
