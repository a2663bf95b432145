"""Every distance between an arm's images and the real ones: value, error, and course over n.

Images and real pictures of the same clips are no independent samples: each image has a partner on
the other side. A kernel distance leaves the partners out of its cross term; a Frechet distance has
no such term and is taken to real pictures of other clips (docs/decisions/0022).

Shape legend: N images of an arm, M real pictures, D feature width, B resamples.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from core.randomness import rng
from harness.metrics.arms import REAL
from harness.metrics.batch import Batch, picture_features
from harness.metrics.distribution import Distance, Indices, KernelDistance
from harness.metrics.extractor import Extractor
from harness.metrics.metric import Absent, Beside, Contribution, SetScore
from harness.records.parts import CurvePoint

Array = NDArray[np.float64]

SMALLEST_SUBSET = 8
_NUM_RESAMPLES = 200
_KERNEL_REPEATS = 1_000
"""Subsets of a kernel distance: the error of their mean is a thirtieth of the spread shown."""
_REPEATS, _FEW_REPEATS, _SMALL = 100, 10, 64
"""Subsets of a Frechet distance up to _SMALL images, and above, where an SVD takes longer and the
values spread less."""


@dataclass(frozen=True)
class _Sides:
    """Two sets whose distance is wanted, row i of both of one clip, or of one class."""

    x_ND: Array
    y_ND: Array
    clips_N: list[int]
    """Test clip of each row of x."""


def distance_scores(
    batch: Batch,
    *,
    metric: str,
    extractor: Extractor,
    distance: Callable[[Array, Array, Sequence[str]], Distance],
    beside: Beside,
) -> dict[str, SetScore | Absent]:
    """The distance of each arm's images to real ones; that of arm `real` is the floor.

    The course over n is measured for the headline arm and the floor alone.

    beside: which real pictures each arm stands beside. The floor takes real test pictures and real
    pictures of other clips of their classes: those of `batch.floor`, or without them the other half
    of the test clips.
    """
    reference = _Reference(batch)
    found: dict[str, SetScore | Absent] = {}
    for arm in batch.arms:
        try:
            sides = reference.sides(arm=arm, extractor=extractor, beside=beside)
            distances = [distance(s.x_ND, s.y_ND, _classes(batch, s)) for s in sides]
        except ValueError as error:  # too few images, or features that are not finite
            found[arm] = Absent(str(error))
            continue
        value = float(np.mean([one.between() for one in distances]))
        has_curve = arm in (batch.headline_arm, REAL)
        found[arm] = SetScore(
            value=value,
            n=min(len(side.x_ND) for side in sides),
            num_real=len(sides[0].y_ND),
            error=_standard_error(distances),
            curve=_curve(metric, distances, arm=arm, value=value) if has_curve else (),
            contributions=() if arm == REAL else _contributions(batch, distances, sides, arm=arm),
        )
    return found


class _Reference:
    """Which real pictures each arm is compared with."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        floor = self._floor = batch.floor
        self._real = {batch.own[i]: i for i in batch.places(REAL, draw=0)}
        by_class: dict[str, list[int]] = {}
        for clip in self._by_name(self._real):
            by_class.setdefault(batch.clips[clip].class_name, []).append(clip)
        others: dict[str, list[str]] = {}
        for sample_id in sorted(floor):
            others.setdefault(floor[sample_id].class_name, []).append(sample_id)
        self._pairs: list[tuple[int, int | str]] = []
        """Test clip, and the picture of another clip of its class that stands beside it."""
        for name, clips in by_class.items():
            drawn = [clips[i] for i in _order(len(clips), name, "test")]
            if floor:
                own = others.get(name, [])
                given: list[int | str] = [own[i] for i in _order(len(own), name, "other")]
                self._pairs += list(zip(drawn, given, strict=False))
            else:
                middle = len(drawn) // 2
                self._pairs += list(zip(drawn[:middle], drawn[middle:], strict=False))

    def sides(self, *, arm: str, extractor: Extractor, beside: Beside) -> list[_Sides]:
        """One pair of sets a draw.

        Images of one clip over draws are not independent samples: taken together they would bias
        the U-statistic, so each draw is measured alone.

        Raises: ValueError for fewer than 2 images on a side.
        """
        features_ID = self._batch.features(extractor)
        if arm == REAL:
            return [self._beside_others(self._real, features_ID, extractor=extractor)]
        found = []
        for draw in self._batch.draws(arm):
            own = {self._batch.own[i]: i for i in self._batch.places(arm, draw=draw)}
            if beside is Beside.OTHERS:
                found.append(self._beside_others(own, features_ID, extractor=extractor))
                continue
            clips = self._by_name(own.keys() & self._real.keys())
            _require_two(len(clips))
            x_ND = features_ID[[own[clip] for clip in clips]]
            y_ND = features_ID[[self._real[clip] for clip in clips]]
            found.append(_Sides(x_ND, y_ND, clips))
        return found

    def _by_name(self, clips: Iterable[int]) -> list[int]:
        """In an order that is the clips' own, not that of the batch."""
        return sorted(clips, key=lambda clip: self._batch.clips[clip].sample_id)

    def _beside_others(
        self, rows: Mapping[int, int], features_ID: Array, *, extractor: Extractor
    ) -> _Sides:
        """Rows of some test clips and real pictures of other clips, as many of each class."""
        pairs = [(clip, other) for clip, other in self._pairs if clip in rows]
        _require_two(len(pairs))
        x_ND = features_ID[[rows[clip] for clip, _ in pairs]]
        if self._floor:
            wanted = {str(other): self._floor[str(other)].path for _, other in pairs}
            scorers, cache = self._batch.scorers, self._batch.cache
            y_ND = picture_features(wanted, scorers=scorers, extractor=extractor, cache=cache)
        else:
            y_ND = features_ID[[self._real[int(other)] for _, other in pairs]]
        return _Sides(x_ND, y_ND, [clip for clip, _ in pairs])


def _classes(batch: Batch, side: _Sides) -> list[str]:
    """Of each row."""
    return [batch.clips[clip].class_name for clip in side.clips_N]


def _require_two(count: int) -> None:
    if count < 2:
        raise ValueError(f"a set of {count} images; a distance needs 2 on each side")


def _order(count: int, name: str, side: str) -> Indices:
    return rng(0, "pictures of other clips", name, side, count).permutation(count)


def _contributions(
    batch: Batch, distances: Sequence[Distance], sides: Sequence[_Sides], *, arm: str
) -> tuple[Contribution, ...]:
    """What each clip adds in each draw; none for a distance without kernel matrices."""
    return tuple(
        Contribution(clip=clip, draw=draw, value=float(value))
        for draw, distance, side in zip(batch.draws(arm), distances, sides, strict=True)
        if isinstance(distance, KernelDistance) and distance.num_images > 2
        for clip, value in zip(side.clips_N, distance.contributions(), strict=True)
    )


def _standard_error(distances: Sequence[Distance]) -> float | None:
    """Bootstrap over clips of the mean over draws; None for a distance without kernel matrices."""
    totals = []
    for distance in distances:
        if not isinstance(distance, KernelDistance) or distance.num_images < SMALLEST_SUBSET:
            return None
        # By place and size alone: every draw, metric and branch sees the same resamples.
        counts = _resample_counts(distance.num_images)
        totals.append(distance.resampled(counts, counts_y_BM=counts))
    return float(np.nanstd(np.mean(totals, axis=0), ddof=1))


def _resample_counts(n: int) -> Array:
    draw = rng(0, "bootstrap of a distance", "x", n)
    counts = draw.multinomial(n, np.full(n, 1.0 / n), size=_NUM_RESAMPLES)
    return np.asarray(counts, dtype=np.float64)


def _curve(
    name: str, distances: Sequence[Distance], *, arm: str, value: float
) -> tuple[CurvePoint, ...]:
    """Nested subsets: the first n of one order a repeat, the same in all draws and branches.

    The two sides have orders of their own: with the same clips on both, the share of pairs of an
    image with its own real picture would grow as n falls, and a Frechet distance would sink.
    """
    most = min(distance.num_images for distance in distances)
    points = []
    n = SMALLEST_SUBSET
    while n < most:
        results = np.mean([_of_subsets(d, n, most=most) for d in distances], axis=0)
        points.append(
            CurvePoint(
                metric=name,
                arm=arm,
                n=n,
                mean=float(np.mean(results)),
                sd=float(np.std(results, ddof=1)),
                repeats=len(results),
            )
        )
        n *= 2
    points.append(CurvePoint(metric=name, arm=arm, n=most, mean=value, sd=None, repeats=1))
    return tuple(points)


def _of_subsets(distance: Distance, n: int, *, most: int) -> Array:
    """Distances of subsets of n images on each side."""
    if isinstance(distance, KernelDistance):
        x, y = (_subset_counts(n, distance.num_images, side, most) for side in ("x", "y"))
        return distance.resampled(x, counts_y_BM=y)
    repeats = _REPEATS if n <= _SMALL else _FEW_REPEATS
    return np.array(
        [
            distance.between(*(_first(n, of=most, repeat=k, side=side) for side in ("x", "y")))
            for k in range(repeats)
        ]
    )


@lru_cache(maxsize=32)
def _subset_counts(n: int, num_images: int, side: str, most: int) -> Array:
    """[B, num_images] 1 for each row of a subset."""
    counts = np.zeros((_KERNEL_REPEATS, num_images))
    for repeat in range(_KERNEL_REPEATS):
        counts[repeat, _first(n, of=most, repeat=repeat, side=side)] = 1.0
    return counts


def _first(n: int, *, of: int, repeat: int, side: str) -> Indices:
    return rng(0, "distance against n", side, of, repeat).permutation(of)[:n]
