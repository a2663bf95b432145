"""Which margin a number of seeds can show equal branches to lie within: the power of a tie.

By the simulation of `power`, in units of the paired seed sd.

Shape legend: R experiments, B branches, P pairs, S seeds.
"""

import math
from functools import lru_cache

import numpy as np

from harness.statistics.looks import level_at
from harness.statistics.many import Array
from harness.statistics.power import ClipShare, drawn_noise, drawn_squares
from harness.statistics.verdict import CROSSED_P_FACTOR


def smallest_margin(
    num_seeds: int,
    *,
    num_branches: int = 2,
    clips: ClipShare | None = None,
    looks: tuple[int, ...] = (),
    power: float = 0.8,
    alpha: float = 0.05,
) -> float:
    """Smallest margin, in units of the paired seed sd, within which branches that are all equal are
    called a tie so often; at this look alone where it is one of the planned `looks`. See
    `tie_power`. Infinite below 2 seeds."""
    if num_seeds < 2:
        return math.inf
    # The levels of looks are two-sided.
    alpha = level_at(looks, num_seeds=num_seeds, alpha=2 * alpha) / 2
    return float(np.quantile(_enough(num_seeds, num_branches, clips, alpha), power))


def tie_power(
    margin: float,
    *,
    num_seeds: int,
    num_branches: int = 2,
    clips: ClipShare | None = None,
    alpha: float = 0.05,
) -> float:
    """How often branches that are all equal are called a tie within the margin, every pair of them.

    The rule is the whole one: two one-sided t-tests and, with `clips`, those of the crossed test.
    Hochberg's steps ask no more of a joint tie than each pair's own tests do.

    clips: the tie has to hold for other clips too; None: on the clips at hand.
    """
    return float((_enough(num_seeds, num_branches, clips, alpha) <= margin).mean())


@lru_cache(maxsize=64)
def _enough(num_seeds: int, num_branches: int, clips: ClipShare | None, alpha: float) -> Array:
    """[R] the smallest margin within which each experiment with equal branches ties."""
    seeds_RBS = drawn_noise("seeds", (num_branches, num_seeds)) / math.sqrt(2)
    first_P, second_P = np.triu_indices(num_branches, k=1)
    difference_RPS = seeds_RBS[:, first_P] - seeds_RBS[:, second_P]
    if clips is not None:
        clip_RB = drawn_noise("clips", (num_branches,)) * clips.clips / math.sqrt(2)
        difference_RPS = difference_RPS + (clip_RB[:, first_P] - clip_RB[:, second_P])[..., None]
    squares = drawn_squares(difference_RPS, clips)
    # One-sided tests at alpha are the two-sided interval at 1 - 2 alpha.
    half_RP = squares.seed_half_width_X(1 - 2 * alpha)
    if clips is not None:
        half_RP = np.maximum(half_RP, squares.half_width_X(1 - 2 * alpha / CROSSED_P_FACTOR))
    found_R: Array = (np.abs(squares.mean_X) + half_RP).max(axis=1)
    return found_R
