"""How often a generator at the margin is called equal to real pictures, and a perfect one is.

Shape legend: N images, D feature width, S seeds, K classes.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.study_distances import CLASSES, KERNELS, WIDTH, Array
from core.randomness import rng
from harness.metrics.distribution import KernelDistance
from harness.statistics.crossed import CrossedTest, crossed_test
from harness.statistics.near_real import near_real_p

NearCell = tuple[str, int, float, float]
"""Metric, images, correlation of an image with its clip's own picture, and shift of every feature
of the generator whose distance is the margin, in sd within a class."""


def near_cells(*, full: bool) -> list[NearCell]:
    """The worlds."""
    return [
        (metric, n, correlation, shift)
        for metric in ("kid", "cmmd")
        for n in ((32, 66, 200) if full else (32, 66))
        for correlation in (0.0, 0.6)
        for shift in (0.15, 0.3)
    ]


_SEEDS = 6
_TRAINING = 0.2
"""Sd of a training's shift, in the mean shift: squared, it makes distances skewed over seeds."""
_ALPHA = 0.05
_OF_TRUTH, _TRUTHS = 800, 25


def near_cell(
    metric: str, n: int, correlation: float, shift: float, experiments: int
) -> dict[str, Any]:
    """false_claims: of a generator whose distance is the margin itself. power: of a perfect one.

    A quarter of the experiments from 100 images on, where each takes ten times as long.
    """
    repeats = experiments if n < 100 else experiments // 4
    draw = rng(0, "study of equivalence", metric, n, str(correlation), str(shift))
    margin, error = _truth(metric, shift)
    false = claimed = 0
    for _ in range(repeats):
        at_margin = _tested(metric, n=n, correlation=correlation, shift=shift, draw=draw)
        perfect = _tested(metric, n=n, correlation=correlation, shift=0.0, draw=draw)
        false += near_real_p(at_margin, margin=margin) <= _ALPHA
        claimed += near_real_p(perfect, margin=margin) <= _ALPHA
    interval = stats.binomtest(false, repeats).proportion_ci(0.95)
    return {
        "metric": metric,
        "n": n,
        "correlation": correlation,
        "seeds": _SEEDS,
        "margin": margin,
        "error_of_margin": error,
        "false_claims": false / repeats,
        "lower_95": float(interval.low),
        "upper_95": float(interval.high),
        "power": claimed / repeats,
        "experiments": repeats,
    }


def _tested(
    metric: str, n: int, correlation: float, shift: float, draw: np.random.Generator
) -> CrossedTest:
    """The crossed test of what each clip adds in each training."""
    kernel, scale = KERNELS[metric]
    kinds = np.arange(n) % CLASSES
    shared = math.sqrt(correlation) * draw.normal(size=(n, WIDTH)) + _of_class()[kinds]
    own = math.sqrt(1 - correlation)
    real = shared + own * draw.normal(size=(n, WIDTH))
    rows = []
    for _ in range(_SEEDS):
        off = shift * (1 + _TRAINING * draw.normal())
        images = shared + own * draw.normal(size=(n, WIDTH)) + off
        distance = KernelDistance.of(
            images, y_MD=real, kernel=kernel, scale=scale, is_matched=True, classes=kinds.tolist()
        )
        rows.append(distance.contributions())
    found = crossed_test(np.stack(rows), classes=[str(kind) for kind in kinds])
    assert found is not None
    return found


def _of_class() -> Array:
    """[K, D] what the classes are; the same in all experiments, since the claim is about these."""
    return rng(0, "classes of the study of equivalence").normal(size=(CLASSES, WIDTH))


@lru_cache(maxsize=4)
def _truth(metric: str, shift: float) -> tuple[float, float]:
    """(Mean distance over trainings, standard error): Gauss-Hermite over their shifts, each from
    large sets whose partners have nearly all in common, which makes the error small."""
    kernel, scale = KERNELS[metric]
    draw = rng(0, "truth of the study of equivalence", metric, str(shift))
    points, weights = np.polynomial.hermite_e.hermegauss(5)
    kinds = np.arange(_OF_TRUTH) % CLASSES
    total = square = 0.0
    for point, weight in zip(points, weights / weights.sum(), strict=True):
        values = []
        for _ in range(_TRUTHS):
            size = (_OF_TRUTH, WIDTH)
            shared = math.sqrt(0.9) * draw.normal(size=size) + _of_class()[kinds]
            x, y = (shared + math.sqrt(0.1) * draw.normal(size=size) for _ in range(2))
            off = shift * (1 + _TRAINING * point)
            distance = KernelDistance.of(
                x + off, y_MD=y, kernel=kernel, scale=scale, is_matched=True,
                classes=kinds.tolist(),
            )  # fmt: skip
            values.append(distance.between())
        total += float(weight) * float(np.mean(values))
        square += float(weight) ** 2 * float(np.var(values, ddof=1)) / _TRUTHS
    return total, math.sqrt(square)
