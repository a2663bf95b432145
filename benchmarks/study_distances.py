"""Distances between sets of images where the truth is known: a perfect generator, and one that is
off by a stated shift.

Shape legend: N images, D feature width, B resamples.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.randomness import rng
from harness.metrics.distribution import (
    CMMD_SCALE,
    Kernel,
    KernelDistance,
    cmmd_kernel,
    kid_kernel,
)

Array = NDArray[np.float64]

SIZES, CORRELATIONS = (16, 66, 500), (0.0, 0.3, 0.6)
DISTANCES = [(m, n, c) for m in ("kid", "cmmd") for n in SIZES for c in CORRELATIONS]
"""Metric, images, and correlation of an image with its clip's own picture."""
SHIFT = 0.3
"""Of every feature of a generator that is off, in sd within a class."""

KERNELS: dict[str, tuple[Kernel, float]] = {
    "kid": (kid_kernel, 1.0),
    "cmmd": (cmmd_kernel, CMMD_SCALE),
}
WIDTH, CLASSES = 64, 8
_ERRORS = 20  # experiments whose printed error is averaged; it hardly varies
_TRUTHS, _OF_TRUTH = 100, 1_000  # sets, and images of each, from which a planted distance is known


def distance_cell(metric: str, n: int, correlation: float, experiments: int) -> dict[str, Any]:
    """A perfect generator's distance: images and real pictures of the same clips and 8 classes."""
    return _cell(metric, n, correlation, _repeats(n, experiments), shift=0.0)


def planted_cell(metric: str, n: int, correlation: float, experiments: int) -> dict[str, Any]:
    """The distance of a generator that is off, and what it is between independent large sets."""
    truth, error = _truth(metric)
    found = _cell(metric, n, correlation, max(40, _repeats(n, experiments) // 4), shift=SHIFT)
    return {**found, "shift": SHIFT, "truth": truth, "error_of_truth": error}


def _repeats(n: int, experiments: int) -> int:
    return max(40, min(experiments // 5, 400_000 // n))


def _cell(metric: str, n: int, correlation: float, repeats: int, *, shift: float) -> dict[str, Any]:
    draw = rng(0, "study of distances", metric, n, str(correlation), str(shift))
    values, errors = [], []
    counts = rng(0, "resamples", n).multinomial(n, np.full(n, 1 / n), size=100).astype(float)
    for _ in range(repeats):
        x, y = _sets(n, correlation, shift, draw)
        distance = _distance(metric, x, y)
        values.append(distance.between())
        if len(errors) < _ERRORS:
            errors.append(float(distance.resampled(counts, counts_y_BM=counts).std(ddof=1)))
    return {
        "metric": metric,
        "n": n,
        "correlation": correlation,
        "mean": float(np.mean(values)),
        "sd": float(np.std(values, ddof=1)),
        "error_of_mean": float(np.std(values, ddof=1) / math.sqrt(repeats)),
        "printed_error": float(np.mean(errors)),
        "experiments": repeats,
    }


def _distance(metric: str, x_ND: Array, y_ND: Array) -> KernelDistance:
    kernel, scale = KERNELS[metric]
    classes = (np.arange(len(x_ND)) % CLASSES).tolist()
    return KernelDistance.of(
        x_ND, y_MD=y_ND, kernel=kernel, scale=scale, is_matched=True, classes=classes
    )


def _sets(
    n: int, correlation: float, shift: float, draw: np.random.Generator
) -> tuple[Array, Array]:
    """[N, D] features of images and of the real pictures of the same clips."""
    of_class = draw.normal(size=(CLASSES, WIDTH))[np.arange(n) % CLASSES]
    shared = math.sqrt(correlation) * draw.normal(size=(n, WIDTH))
    own = math.sqrt(1 - correlation)
    x, y = (of_class + shared + own * draw.normal(size=(n, WIDTH)) for _ in range(2))
    return x + shift, y


@lru_cache(maxsize=2)
def _truth(metric: str) -> tuple[float, float]:
    """(Distance of a generator that is off, standard error), from large sets that have nothing but
    the classes in common. Partners change the error of a distance, never what is measured."""
    draw = rng(0, "truth of a planted distance", metric)
    values = []
    for _ in range(_TRUTHS):
        x, y = _sets(_OF_TRUTH, 0.0, SHIFT, draw)
        distance = _distance(metric, x, y)
        values.append(distance.between())
    return float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(_TRUTHS))
