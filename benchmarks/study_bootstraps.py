"""How often the bootstrap's interval over seeds, classes and clips holds what it speaks of."""

from collections.abc import Sequence
from typing import Any

from scipy import stats

from benchmarks.stand_in import World, coverage

CORPUS = World().class_sizes

BOOTSTRAPS: tuple[tuple[int, float, float, tuple[int, ...]], ...] = (
    (3, 0.05, 0.3, CORPUS),
    (6, 0.01, 0.0, CORPUS),
    (6, 0.05, 0.3, CORPUS),
    (10, 0.2, 0.3, CORPUS),
    (6, 0.05, 0.5, (10, 10, 10, 10)),
    (6, 0.05, 0.5, (2, 2, 2, 2)),
    (6, 0.0, 0.0, (2, 2, 2, 2)),
    (6, 0.05, 0.5, (1, 1, 3, 9)),
    (6, 0.05, 0.5, (1, 1, 1, 1)),
)
"""Seeds, variance between trainings, sd between classes and test clips of each class."""


def bootstrap_cell(
    seeds: int, variance: float, class_sd: float, sizes: Sequence[int], repeats: int
) -> dict[str, Any]:
    """Coverage of the bootstrap over seeds, classes and clips, for what it says it speaks of."""
    world = World(
        num_seeds=seeds,
        effects=(0.3, 0.0),
        training_sd=variance**0.5,
        class_sd=class_sd,
        class_sizes=tuple(sizes),
    )
    share = coverage(world, repeats=range(repeats), num_resamples=1_000)
    interval = stats.binomtest(round(share * repeats), repeats).proportion_ci(0.95)
    return {
        "seeds": seeds,
        "seed_variance": variance,
        "class_sd": class_sd,
        "class_sizes": list(sizes),
        "experiments": repeats,
        "coverage": share,
        "lower_95": float(interval.low),
        "upper_95": float(interval.high),
    }
