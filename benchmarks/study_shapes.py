"""How often trainings that merely differ are called collapsed, and how often a collapse is."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from core.randomness import rng
from harness.statistics.shapes import far_below, shape_of

Array = NDArray[np.float64]

FALLS = (6.0, 12.0, 20.0)
"""Of one training of the first branch, in its own sd."""


@dataclass(frozen=True)
class ShapeCell:
    """Trainings that do not collapse."""

    branches: int
    """Branches that are compared."""
    seeds: int
    """Trainings of each."""
    widest: float
    """Sd of the first branch's trainings, in that of the others."""
    tails: str = "normal"
    """Of the trainings: normal, or Student's t of 3 degrees of freedom."""


def shape_cells() -> list[ShapeCell]:
    """The worlds."""
    found = [
        ShapeCell(b, s, w) for b in (2, 3, 5) for s in (3, 4, 5, 6, 10, 20) for w in (1.0, 3.0)
    ]
    return found + [ShapeCell(branches=2, seeds=s, widest=1.0, tails="t3") for s in (3, 6, 10, 20)]


def shape_cell(cell: ShapeCell, experiments: int) -> dict[str, Any]:
    """Rates of one world.

    false_alarms: share of comparisons without a collapse in which some training is called one.
    found: by the size of its fall, how often one training of the first branch that fell is.
    """
    draw = rng(0, "study of shapes", repr(cell))
    values_RBS = _trainings(cell, experiments, draw)
    alarms = int(_collapsed(values_RBS).any(axis=(1, 2)).sum())
    interval = stats.binomtest(alarms, experiments).proportion_ci(0.95)
    found = {}
    for fall in FALLS:
        fallen_RBS = values_RBS.copy()
        fallen_RBS[:, 0, 0] -= fall * cell.widest
        found[f"{fall:g}"] = float(_collapsed(fallen_RBS)[:, 0, 0].mean())
    return {
        **asdict(cell),
        "experiments": experiments,
        "bound": far_below(cell.seeds, num_branches=cell.branches),
        "false_alarms": alarms / experiments,
        "lower_95": float(interval.low),
        "upper_95": float(interval.high),
        "found": found,
    }


def _trainings(cell: ShapeCell, experiments: int, draw: np.random.Generator) -> Array:
    """[R, B, S] scores, a higher one better."""
    shape = (experiments, cell.branches, cell.seeds)
    values = draw.standard_t(3, shape) if cell.tails == "t3" else draw.standard_normal(shape)
    values[:, 0] *= cell.widest
    return np.asarray(values)


def _collapsed(values_RBS: Array) -> NDArray[np.bool_]:
    """[R, B, S] which the product calls collapsed."""
    found = np.zeros(values_RBS.shape, dtype=bool)
    for number, of_branches in enumerate(values_RBS):
        named = {str(b): dict(enumerate(row.tolist())) for b, row in enumerate(of_branches)}
        shape = shape_of(named, differences={}, higher_is_better=True)
        for name, seeds in shape.collapsed.items():
            found[number, int(name), seeds] = True
    return found
