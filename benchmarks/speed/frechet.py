"""The Frechet distance from features against scipy's matrix square root, as it is often written.

`|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^1/2)` with `numpy.cov` and `scipy.linalg.sqrtm`, against
`harness.metrics.distribution.frechet`, on features as Inception's: 2,048 wide, none negative.
"""

import numpy as np

from benchmarks.speed.table import Row
from benchmarks.speed.timing import Ratio, in_turn

WIDTH = 2_048
NUM_IMAGES = 664
"""On each side: the user's clips."""


def features(num_images: int) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of correlated features, a little apart."""
    draw = np.random.default_rng(num_images)
    mix = draw.normal(size=(WIDTH, WIDTH)) / np.sqrt(WIDTH) * np.linspace(2, 0.1, WIDTH)
    first, second = (draw.normal(size=(num_images, WIDTH)) @ mix for _ in range(2))
    return np.maximum(first, 0), np.maximum(second + 0.1, 0)


def by_sqrtm(first_ND: np.ndarray, second_MD: np.ndarray) -> float:
    """The textbook formula."""
    from scipy.linalg import sqrtm

    means = first_ND.mean(axis=0) - second_MD.mean(axis=0)
    one, two = np.cov(first_ND, rowvar=False), np.cov(second_MD, rowvar=False)
    root = sqrtm(one @ two).real
    return float(means @ means + np.trace(one) + np.trace(two) - 2 * np.trace(root))


def rows(*, pairs: int) -> list[Row]:
    """Ratio of CPU time, and relative error."""
    from harness.metrics.distribution import frechet

    first, second = features(NUM_IMAGES)
    times = in_turn(
        {
            "ours": lambda: frechet(first, real_MD=second),
            "sqrtm": lambda: by_sqrtm(first, second),
        },
        pairs=pairs,
    )
    expected = by_sqrtm(first, second)
    error = abs(frechet(first, real_MD=second) - expected) / expected
    ratio = Ratio.of(times["sqrtm"], times["ours"])
    numbers = {
        "cpu_s": {side: float(np.median(values)) for side, values in times.items()},
        "relative_error": error,
        "pairs": pairs,
    }
    size = f"n = {NUM_IMAGES:,} each, d = {WIDTH:,}"
    return [
        Row(
            f"Frechet distance, {size}, scipy's sqrtm over ours",
            ratio.median,
            "x",
            50.0,
            spread=(ratio.low, ratio.high),
            about=__doc__ or "",
            numbers=numbers,
        ),
        Row("the same, relative error", error, "", 1e-6, is_floor=False, numbers=numbers),
    ]
