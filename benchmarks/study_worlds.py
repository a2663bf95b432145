"""Worlds with known truth, and the product's rule over many experiments in them at once.

In such a world the score of branch b, training seed s and test clip c is

    effect_b + training_bs + interaction_bc + noise_bsc

with normal noise of variance 1. What the rule asks of it are few sums (`many.BranchSums`), whose
distributions are known; `drawn` draws those instead of the scores. Tests hold them to the sums of
scores that were drawn one by one, and `decided` to `analyse`, records in and verdict out.

Shape legend: R experiments, B branches, P pairs, S seeds, C clips, D their contrasts in classes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.statistics.looks import level_at
from harness.statistics.many import BranchSums, holm_told_apart, is_flip_significant
from harness.statistics.verdict import CROSSED_P_FACTOR

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

CLASS_SIZES = (10, 10, 10, 10, 10, 9, 4, 3)
NUM_CLIPS, NUM_CLASSES = sum(CLASS_SIZES), len(CLASS_SIZES)
ALPHA = 0.05

COLLAPSES = 0.1
"""Share of the first branch's trainings that collapse."""
_FALL = 12.0
"""By how many sd of a training."""
_SKEW = 3.0
"""Sd of the first branch's lognormal trainings, in those of the others."""


@dataclass(frozen=True)
class Cell:
    """One world and one way of looking at it."""

    branches: int
    """Branches that are compared."""
    seeds: int
    """Trainings of each; at the last look."""
    seed_variance: float
    """Of a training, as a share of one image's variance."""
    interaction: float
    """Standard deviation of what a clip adds to the difference of two branches, in image sd."""
    looks: tuple[int, ...] = ()
    """Planned numbers of seeds; empty: one look."""
    shape: str = "normal"
    """Of the trainings: normal, collapsing (one in ten of the first branch) or skewed."""

    @property
    def pairs(self) -> tuple[Ints, Ints]:
        """First and second branch of each pair."""
        first, second = np.triu_indices(self.branches, k=1)
        return first.astype(np.int64), second.astype(np.int64)

    @property
    def paired_sd(self) -> float:
        """Of the difference of two branches over seeds, with normal trainings."""
        return math.sqrt(2 * (self.seed_variance + 1 / NUM_CLIPS))

    @property
    def typical_lead(self) -> float:
        """By how much the first branch's typical training is ahead, means being equal."""
        sd = math.sqrt(self.seed_variance)
        if self.shape == "collapsing":
            return COLLAPSES * _FALL * sd
        if self.shape == "skewed":
            # Mean less median of the standardised lognormal distribution.
            return _SKEW * sd * (math.exp(0.5) - 1) / math.sqrt((math.e - 1) * math.e)
        return 0.0


@dataclass(frozen=True)
class Drawn:
    """Experiments of one world."""

    sums: Mapping[int, BranchSums]
    """By number of seeds: at each look."""
    true_RB: Array
    """What each branch is worth, for any clips."""
    here_RB: Array
    """The same on the clips that were drawn."""


@dataclass(frozen=True)
class Decided:
    """What the rule says of many experiments."""

    clips_RP: Ints
    """Claims for other clips: 1 the first branch of the pair wins, -1 the second, 0 neither."""
    seeds_RP: Ints
    """The same of claims on these clips alone; 0 where the stronger claim is made."""
    used_R: Ints
    """Seeds at which it ended."""


def decided(sums: Mapping[int, BranchSums], *, looks: Sequence[int] = ()) -> Decided:
    """The rule of `compare_pairs` without a margin, ended at the first look with a win.

    sums: by number of seeds. looks: the planned ones; none: one look. Any win ends a question that
    is looked at again: the worst case for false ones.
    """
    last = max(sums)
    num_branches = sums[last].seeds_RBS.shape[1]
    first_P, second_P = (side.astype(np.int64) for side in np.triu_indices(num_branches, k=1))
    shape = (len(sums[last].seeds_RBS), len(first_P))
    clips_RP, seeds_RP = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    used_R = np.full(shape[0], last)
    open_R = np.ones(shape[0], dtype=bool)
    for look in sorted(sums):
        squares = sums[look].squares(first_P, second_P)
        t_RP = squares.seed_claim_p_X(alpha=ALPHA)
        both_RP = squares.both_claim_p_X(t_RP, factor=CROSSED_P_FACTOR, alpha=ALPHA)
        alone_RP = _holm_at(t_RP, look=look, looks=looks, alpha=ALPHA)
        crossed_RP = _holm_at(both_RP, look=look, looks=looks, alpha=ALPHA)
        wins_RP = is_flip_significant(
            sums[look].differences(first_P, second_P),
            asked_X=(alone_RP | crossed_RP) & open_R[:, None],
            alpha=ALPHA,
        )
        sign_RP = np.sign(squares.mean_X).astype(np.int64)
        now_clips_RP = np.where(wins_RP & crossed_RP, sign_RP, 0)
        now_seeds_RP = np.where(wins_RP & ~crossed_RP, sign_RP, 0)
        ends_R = open_R & (wins_RP.any(axis=1) | (look == last))
        clips_RP[ends_R], seeds_RP[ends_R] = now_clips_RP[ends_R], now_seeds_RP[ends_R]
        used_R[ends_R] = look
        open_R &= ~ends_R
    return Decided(clips_RP, seeds_RP, used_R)


def _holm_at(p_RP: Array, *, look: int, looks: Sequence[int], alpha: float) -> Bools:
    """Holm's rejections, at the level of this look for each step."""
    num_pairs = p_RP.shape[1]
    levels = [level_at(looks, num_seeds=look, alpha=alpha / k) for k in range(num_pairs, 0, -1)]
    return holm_told_apart(p_RP, levels=levels)


def drawn(
    cell: Cell, *, effects_RB: Array, draw: np.random.Generator, is_here: bool = False
) -> Drawn:
    """Experiments with these true values, one for each row.

    is_here: whether they are the values on the clips that are drawn, instead of for any clips.
    """
    num_clips, freedom = NUM_CLIPS, NUM_CLIPS - NUM_CLASSES
    shape_RB = effects_RB.shape
    clip_sd = cell.interaction / math.sqrt(2)
    of_clips_RB = clip_sd / math.sqrt(num_clips) * draw.standard_normal(shape_RB)
    here_RB = effects_RB if is_here else effects_RB + of_clips_RB
    training_RBS = _trainings(cell, shape_RB[0], draw)
    noise_RBS = draw.standard_normal((*shape_RB, cell.seeds)) / math.sqrt(num_clips)
    seeds_RBS = here_RB[..., None] + training_RBS + noise_RBS
    sums: dict[int, BranchSums] = {}
    if not cell.looks:
        clips_RBB = _wishart(shape_RB, freedom, draw) * (1 + cell.seeds * clip_sd**2)
        rest_RBB = _wishart(shape_RB, (cell.seeds - 1) * freedom, draw)
        sums[cell.seeds] = BranchSums(
            seeds_RBS=seeds_RBS,
            clips_RBB=clips_RBB,
            rest_RBB=rest_RBB,
            num_clips=num_clips,
            num_classes=NUM_CLASSES,
        )
    else:
        # The looks share clips and trainings: their contrasts within classes are drawn themselves.
        clip_RB1D = clip_sd * draw.standard_normal((*shape_RB, 1, freedom))
        inside_RBSD = clip_RB1D + draw.standard_normal((*shape_RB, cell.seeds, freedom))
        for look in cell.looks:
            seen_RBSD = inside_RBSD[:, :, :look]
            mean_RBD = seen_RBSD.mean(axis=2)
            rest_RBX = (seen_RBSD - mean_RBD[:, :, None]).reshape(*shape_RB, -1)
            sums[look] = BranchSums(
                seeds_RBS=seeds_RBS[:, :, :look],
                clips_RBB=look * mean_RBD @ mean_RBD.transpose(0, 2, 1),
                rest_RBB=rest_RBX @ rest_RBX.transpose(0, 2, 1),
                num_clips=num_clips,
                num_classes=NUM_CLASSES,
            )
    return Drawn(sums, here_RB - of_clips_RB, here_RB)


def _trainings(cell: Cell, count: int, draw: np.random.Generator) -> Array:
    """[R, B, S] what each training changes for all clips."""
    sd = math.sqrt(cell.seed_variance)
    found = draw.standard_normal((count, cell.branches, cell.seeds)) * sd
    if cell.shape == "collapsing":
        # The others are higher, so that the mean is the same.
        falls = draw.random((count, cell.seeds)) < COLLAPSES
        found[:, 0] += np.where(falls, COLLAPSES - 1, COLLAPSES) * _FALL * sd
    elif cell.shape == "skewed":
        raw = np.exp(draw.standard_normal((count, cell.seeds)))
        found[:, 0] = -(raw - math.exp(0.5)) / math.sqrt((math.e - 1) * math.e) * _SKEW * sd
    return found


def _wishart(shape_RB: tuple[int, ...], freedom: int, draw: np.random.Generator) -> Array:
    """[R, B, B] sums of products of `freedom` normal values of each branch (Bartlett 1933)."""
    count, size = shape_RB
    root_RBB = np.tril(draw.standard_normal((count, size, size)), k=-1)
    for k in range(size):
        root_RBB[:, k, k] = np.sqrt(draw.chisquare(freedom - k, count))
    return root_RBB @ root_RBB.transpose(0, 2, 1)
