"""Every distance between an arm's images and the real ones: value, error, and course over n.

Shape legend: N images of an arm, M real test images, D feature width, B resamples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.randomness import rng
from harness.metrics.arms import REAL
from harness.metrics.batch import Batch, picture_features
from harness.metrics.distribution import Distance, Indices, KernelDistance
from harness.metrics.extractor import Extractor
from harness.metrics.metric import Absent, SetScore
from harness.records.parts import CurvePoint

Array = NDArray[np.float64]

SMALLEST_SUBSET = 8
_NUM_RESAMPLES = 200
_NUM_REPEATS, _NUM_REPEATS_LARGE, _LARGE = 10, 3, 512  # an SVD of 512 rows takes about 0.1 s


@dataclass(frozen=True)
class _Sides:
    """Two sets whose distance is wanted; `is_paired` if row i of both is the same clip."""

    x_ND: Array
    y_MD: Array
    is_paired: bool


def distance_scores(
    batch: Batch,
    *,
    metric: str,
    extractor: Extractor,
    distance: Callable[[Array, Array], Distance],
) -> dict[str, SetScore | Absent]:
    """The distance of each arm's images to the real ones; that of arm `real` is the floor.

    The course over n is measured for the headline arm and the floor alone.
    """
    found: dict[str, SetScore | Absent] = {}
    for arm in batch.arms:
        sides = _sides(batch, arm=arm, extractor=extractor)
        smallest = min(min(len(s.x_ND), len(s.y_MD)) for s in sides)
        if smallest < 2:
            found[arm] = Absent(f"a set of {smallest} images; a distance needs 2 on each side")
            continue
        distances = [distance(s.x_ND, s.y_MD) for s in sides]
        value = float(np.mean([distance.between() for distance in distances]))
        if not np.isfinite(value):
            found[arm] = Absent("the distance is not finite; a scorer returned NaN for an image")
            continue
        has_curve = arm in (batch.headline_arm, REAL)
        found[arm] = SetScore(
            value=value,
            n=min(len(s.x_ND) for s in sides),
            num_real=len(sides[0].y_MD),
            error=_standard_error(distances, sides),
            curve=_curve(metric, distances, sides, arm=arm, value=value) if has_curve else (),
        )
    return found


def _sides(batch: Batch, *, arm: str, extractor: Extractor) -> list[_Sides]:
    """One pair of sets a draw.

    Images of one clip over draws are not independent samples: taken together they would bias
    the U-statistic, so each draw is measured alone.
    """
    features_ID = batch.features(extractor)
    real_rows = batch.places(REAL, draw=0)
    real = features_ID[real_rows]
    if arm == REAL:
        if batch.floor:
            other = picture_features(
                batch.floor, scorers=batch.scorers, extractor=extractor, cache=batch.cache
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
    name: str,
    distances: Sequence[Distance],
    sides: Sequence[_Sides],
    *,
    arm: str,
    value: float,
) -> tuple[CurvePoint, ...]:
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
                arm=arm,
                n=n,
                mean=float(np.mean(results)),
                sd=float(np.std(results, ddof=1)),
                repeats=repeats,
            )
        )
        n *= 2
    points.append(CurvePoint(metric=name, arm=arm, n=most, mean=value, sd=None, repeats=1))
    return tuple(points)


def _first(n: int, *, of: int, repeat: int, side: str) -> Indices:
    return rng(0, "distance against n", side, of, repeat).permutation(of)[:n]
