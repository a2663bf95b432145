"""What a number of seeds lets one claim: the power of the whole rule, not of one test of it.

By simulation with fixed draws: the same arguments give the same number. In units of the paired
seed sd: the standard deviation over seeds of the difference of two branches.

Shape legend: R experiments, B branches, P pairs, S seeds.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from core.randomness import rng
from harness.statistics.crossed import Components, freedom_of_clips
from harness.statistics.looks import level_at
from harness.statistics.many import MeanSquares, holm_told_apart, is_flip_significant
from harness.statistics.outcome import MIN_SEEDS_FOR_A_WIN
from harness.statistics.paired import detectable_effect
from harness.statistics.verdict import CROSSED_P_FACTOR

Array = NDArray[np.float64]

_NUM_REPEATS = 3_000  # the power is known to within 0.7 points
_TOLERANCE = 0.003  # of the power
_MOST_STEPS = 20
_FLIPS_MATTER = 10  # with more seeds of normal differences the sign-flip test follows the t-test


class Target(StrEnum):
    """What is to be found."""

    PAIR = "pair"  # this pair is called a win
    HEADLINE = "headline"  # the best branch is called a win against every other


@dataclass(frozen=True)
class ClipShare:
    """What the clips add to the error of a mean, in units of the paired seed sd."""

    clips: float
    """Standard deviation of the mean by the clips that are drawn; seeds do not lower it."""
    rest: float
    """The same of one training's remaining noise, part of the paired seed sd."""
    freedom: int
    """Clips less classes."""

    @classmethod
    def of(cls, found: Components) -> "ClipShare | None":
        """As the components have it; None where trainings do not differ."""
        seed_sd = math.sqrt(found.seeds + found.rest / found.num_clips)
        spare = freedom_of_clips(found.num_clips, num_classes=found.num_classes)
        if seed_sd == 0:
            return None
        of_clips = math.sqrt(found.clips / found.num_clips)
        of_rest = math.sqrt(found.rest / found.num_clips)
        # Rounded, so that pairs that hardly differ share a simulation.
        return cls(round(of_clips / seed_sd, 2), round(of_rest / seed_sd, 2), spare)


@lru_cache(maxsize=512)
def detectable_win(
    num_seeds: int,
    *,
    num_branches: int = 2,
    target: Target = Target.PAIR,
    clips: ClipShare | None = None,
    sd_is_known: bool = True,
    looks: tuple[int, ...] = (),
    power: float = 0.8,
    alpha: float = 0.05,
) -> float:
    """Smallest true difference, in units of the paired seed sd, that is called a win so often.

    See `win_power`. Infinite below the seeds that a win needs, and where no difference is found
    that often.
    """
    if num_seeds < MIN_SEEDS_FOR_A_WIN:
        return math.inf

    def missing(effect: float) -> float:
        found = win_power(
            effect,
            num_seeds=num_seeds,
            num_branches=num_branches,
            target=target,
            clips=clips,
            sd_is_known=sd_is_known,
            looks=looks,
            alpha=alpha,
        )
        return found - power

    num_pairs = math.comb(num_branches, 2)
    low, high = 0.0, detectable_effect(num_seeds, alpha=alpha / num_pairs)
    while missing(high) < 0:
        low, high = high, 1.5 * high
        if high > 1_000:
            return math.inf
    # The same draws serve every effect, so the power rises without noise between the two.
    for _ in range(_MOST_STEPS):
        middle = (low + high) / 2
        off = missing(middle)
        if abs(off) <= _TOLERANCE:
            return middle
        low, high = (low, middle) if off > 0 else (middle, high)
    return high


def win_power(
    effect: float,
    *,
    num_seeds: int,
    num_branches: int = 2,
    target: Target = Target.PAIR,
    clips: ClipShare | None = None,
    sd_is_known: bool = True,
    looks: tuple[int, ...] = (),
    alpha: float = 0.05,
) -> float:
    """How often a branch that is ahead of all others by `effect` is called a win.

    The rule is the whole one: t-test and, with `clips`, crossed test under Holm over all pairs,
    and the sign-flip test.

    clips: the win has to hold for other clips too; None: on the clips at hand. sd_is_known: False
    where `effect` is a multiple of an sd that was estimated from as many seeds; the power is then
    the mean over what the true sd may be. looks: planned numbers of seeds; where this is one of
    them, how often it wins at this look alone.
    """
    if num_seeds < MIN_SEEDS_FOR_A_WIN:
        return 0.0
    seeds_RBS = drawn_noise("seeds", (num_branches, num_seeds)) / math.sqrt(2)
    effect_R = np.full(len(seeds_RBS), effect)
    if not sd_is_known:
        # Only the trainings' share of the error is that uncertain; that of the clips is known from
        # many more of them.
        pilot_R = (drawn_noise("pilot", (num_seeds - 1,)) ** 2).mean(axis=1)
        of_clips = 0.0 if clips is None else num_seeds * clips.clips**2
        effect_R = effect * np.sqrt((pilot_R + of_clips) / (1 + of_clips))
    first_P, second_P = np.triu_indices(num_branches, k=1)
    of_best_P = first_P == 0
    difference_RPS = seeds_RBS[:, first_P] - seeds_RBS[:, second_P]
    shift_RP = effect_R[:, None] * of_best_P
    if clips is not None:
        clip_RB = drawn_noise("clips", (num_branches,)) * clips.clips / math.sqrt(2)
        shift_RP = shift_RP + clip_RB[:, first_P] - clip_RB[:, second_P]
    difference_RPS = difference_RPS + shift_RP[..., None]
    squares = drawn_squares(difference_RPS, clips)
    p_RP = squares.seed_claim_p_X(alpha=alpha)
    if clips is not None:
        p_RP = squares.both_claim_p_X(p_RP, factor=CROSSED_P_FACTOR, alpha=alpha)
    # Holm's steps at what this look may spend.
    levels = [
        level_at(looks, num_seeds=num_seeds, alpha=alpha / left)
        for left in range(p_RP.shape[1], 0, -1)
    ]
    is_right_RP = holm_told_apart(p_RP, levels=levels) & (difference_RPS.mean(axis=-1) > 0)
    wanted_P = of_best_P if target is Target.HEADLINE else np.arange(len(first_P)) == 0
    candidate_R = is_right_RP[:, wanted_P].all(axis=1)
    if num_seeds <= _FLIPS_MATTER:
        asked_RP = np.broadcast_to(candidate_R[:, None], (len(p_RP), int(wanted_P.sum())))
        flip_RP = is_flip_significant(difference_RPS[:, wanted_P], asked_X=asked_RP, alpha=alpha)
        candidate_R = flip_RP.all(axis=1)
    return float(candidate_R.mean())


def drawn_squares(difference_RPS: Array, clips: ClipShare | None) -> MeanSquares:
    """Mean squares of these differences, those of clips and rest drawn from their distributions;
    without `clips` as if there were none."""
    num_seeds = difference_RPS.shape[-1]
    shape = difference_RPS.shape[:2]
    # As if of one class, in which a mean over all clips has the variances that `clips` states.
    num_clips = 2 if clips is None else clips.freedom + 1
    cells = num_seeds * num_clips
    clips_X, rest_X = np.zeros(shape), np.zeros(shape)
    if clips is not None:
        rest = clips.rest**2 / num_seeds
        draws = _chi_square("clips", shape, clips.freedom)
        clips_X = cells * (clips.clips**2 + rest) * draws
        rest_X = cells * rest * _chi_square("rest", shape, (num_seeds - 1) * clips.freedom)
    return MeanSquares(
        mean_X=difference_RPS.mean(axis=-1),
        seeds_X=num_clips * difference_RPS.var(axis=-1, ddof=1),
        clips_X=clips_X,
        rest_X=rest_X,
        num_seeds=num_seeds,
        num_clips=num_clips,
        num_classes=1,
    )


def sd_factors(num_seeds: int, *, level: float = 0.95) -> tuple[float, float]:
    """By what an sd estimated from so many seeds is multiplied for the ends of its interval."""
    if num_seeds < 2:
        return 0.0, math.inf
    freedom = num_seeds - 1
    tails = stats.chi2.ppf([0.5 + level / 2, 0.5 - level / 2], freedom)
    low, high = np.sqrt(freedom / tails)
    return float(low), float(high)


@lru_cache(maxsize=32)
def drawn_noise(purpose: str, shape: tuple[int, ...]) -> Array:
    draw = rng(0, f"power of a win: {purpose}", *shape)
    return draw.standard_normal((_NUM_REPEATS, *shape))


@lru_cache(maxsize=32)
def _chi_square(purpose: str, shape: tuple[int, ...], freedom: int) -> Array:
    draw = rng(0, f"power of a win: {purpose}", *shape, freedom)
    return np.asarray(draw.chisquare(freedom, shape) / freedom)
