"""The rule of a win for many experiments at once; tests hold it to `verdict.compare_pairs`.

Shape legend: R experiments, P pairs, B branches, S seeds, C clips, K classes; X any of these.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from harness.statistics.paired import sign_flip_p

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

_ALL_PATTERNS = 10  # seeds up to which all sign patterns are counted at once


@dataclass(frozen=True)
class MeanSquares:
    """Of the paired differences of many experiments, as `crossed.crossed_test` has them."""

    mean_X: Array
    """Mean difference."""
    seeds_X: Array
    """Mean square of seeds."""
    clips_X: Array
    """Mean square of clips within classes."""
    rest_X: Array
    """Mean square of what is left."""
    num_seeds: int
    """Seeds."""
    num_clips: int
    """Clips."""
    num_classes: int
    """Classes; 1 where each class has one clip."""

    @property
    def error_X(self) -> Array:
        """Standard error of the mean, by seeds and clips together."""
        most_X = np.maximum(self.seeds_X, self.clips_X)
        total_X = np.maximum(self.seeds_X + self.clips_X - self.rest_X, most_X)
        return np.asarray(np.sqrt(total_X / (self.num_seeds * self.num_clips)))

    @property
    def freedom_X(self) -> Array:
        """Its degrees of freedom."""
        seeds, clips = self._freedoms
        total_X = self.seeds_X + self.clips_X - self.rest_X
        is_less_X = total_X < np.maximum(self.seeds_X, self.clips_X)
        parts_X = self.seeds_X**2 / seeds + self.clips_X**2 / clips
        parts_X = parts_X + self.rest_X**2 / (seeds * clips)
        larger_X = np.where(self.seeds_X >= self.clips_X, seeds, clips)
        return np.where(is_less_X, larger_X, total_X**2 / parts_X)

    @property
    def p_X(self) -> Array:
        """Two-sided p of a mean of 0 for other seeds and clips."""
        worst_X: Array = np.maximum.reduce(
            [two_sided_p(self.mean_X / error_X, freedom) for error_X, freedom in self._errors]
        )
        return worst_X

    def seed_claim_p_X(self, *, alpha: float) -> Array:
        """`seed_p_X`, exact where it may be `alpha` or less and 1 elsewhere, where only that it is
        larger matters."""
        found_X = np.ones(self.mean_X.shape)
        error_X, freedom = self._errors[1]
        # No t distribution has less beyond it than the normal one.
        asked_X = np.abs(self.mean_X) >= special.ndtri(1 - alpha / 2) * error_X
        found_X[asked_X] = two_sided_p(self.mean_X[asked_X] / error_X[asked_X], freedom)
        return found_X

    def both_claim_p_X(self, seed_p_X: Array, *, factor: float, alpha: float) -> Array:
        """The larger of the p over seeds alone and `factor` times `p_X`, as exact as the former."""
        found_X = np.ones(self.mean_X.shape)
        asked_X = seed_p_X <= alpha
        part = replace(
            self,
            mean_X=self.mean_X[asked_X],
            seeds_X=self.seeds_X[asked_X],
            clips_X=self.clips_X[asked_X],
            rest_X=self.rest_X[asked_X],
        )
        found_X[asked_X] = np.maximum(seed_p_X[asked_X], np.minimum(1.0, factor * part.p_X))
        return found_X

    @property
    def seed_p_X(self) -> Array:
        """The same for other seeds alone."""
        error_X, freedom = self._errors[1]
        return two_sided_p(self.mean_X / error_X, freedom)

    def tie_p_X(self, margin: float, *, factor: float) -> Array:
        """p of a tie for other seeds and clips, as `verdict.tie_ps` has it."""
        worst_X: Array = np.maximum.reduce(
            [
                special.stdtr(freedom, (np.abs(self.mean_X) - margin) / error_X)
                for error_X, freedom in self._errors
            ]
        )
        return np.maximum(self.seed_tie_p_X(margin), np.minimum(1.0, factor * worst_X))

    def seed_tie_p_X(self, margin: float) -> Array:
        """The same for other seeds alone."""
        error_X, freedom = self._errors[1]
        return np.asarray(special.stdtr(freedom, (np.abs(self.mean_X) - margin) / error_X))

    def half_width_X(self, level: float = 0.95) -> Array:
        """Of the interval for other seeds and clips."""
        tail = 0.5 + level / 2
        widest_X: Array = np.maximum.reduce(
            [special.stdtrit(freedom, tail) * error_X for error_X, freedom in self._errors]
        )
        return widest_X

    def seed_half_width_X(self, level: float = 0.95) -> Array:
        """Of the interval for other seeds alone."""
        error_X, freedom = self._errors[1]
        return np.asarray(special.stdtrit(freedom, 0.5 + level / 2) * error_X)

    @property
    def _freedoms(self) -> tuple[int, int]:
        return self.num_seeds - 1, self.num_clips - self.num_classes

    @property
    def _errors(self) -> tuple[tuple[Array, Array | int], ...]:
        """Standard error and degrees of freedom by both, by seeds alone and by clips alone."""
        cells, (seeds, clips) = self.num_seeds * self.num_clips, self._freedoms
        return (
            (self.error_X, self.freedom_X),
            (np.sqrt(self.seeds_X / cells), seeds),
            (np.sqrt(self.clips_X / cells), clips),
        )


@dataclass(frozen=True, kw_only=True)
class BranchSums:
    """All that the rule asks of the scores of whole tables; a clip's own scores are summed up.

    Differences of two branches have the sums `own + other - 2 both` of these.
    """

    seeds_RBS: Array
    """Mean score of each training over the clips."""
    clips_RBB: Array
    """Sums of products, over clips, of a clip's mean over seeds less its class's; times seeds."""
    rest_RBB: Array
    """The same of what is left of a clip in one training, over seeds and clips."""
    num_clips: int
    """Clips."""
    num_classes: int
    """Classes; 1 where each class has one clip."""

    def differences(self, first_P: NDArray[np.int64], second_P: NDArray[np.int64]) -> Array:
        """[R, P, S] difference of the branches of each pair over seeds."""
        return np.asarray(self.seeds_RBS[:, first_P] - self.seeds_RBS[:, second_P])

    def squares(self, first_P: NDArray[np.int64], second_P: NDArray[np.int64]) -> MeanSquares:
        """Mean squares [R, P] of these differences."""
        differences_RPS = self.differences(first_P, second_P)
        num_seeds, freedom = differences_RPS.shape[-1], self.num_clips - self.num_classes

        def between(products_RBB: Array) -> Array:
            own_RB = np.diagonal(products_RBB, axis1=1, axis2=2)
            both_RP = products_RBB[:, first_P, second_P]
            return np.asarray(own_RB[:, first_P] + own_RB[:, second_P] - 2 * both_RP)

        return MeanSquares(
            mean_X=differences_RPS.mean(axis=-1),
            seeds_X=self.num_clips * differences_RPS.var(axis=-1, ddof=1),
            clips_X=between(self.clips_RBB) / freedom,
            rest_X=between(self.rest_RBB) / ((num_seeds - 1) * freedom),
            num_seeds=num_seeds,
            num_clips=self.num_clips,
            num_classes=self.num_classes,
        )


def branch_sums(scores_RBSC: Array, class_C: NDArray[np.int64]) -> BranchSums:
    """Sums of the scores of whole tables."""
    num_clips = scores_RBSC.shape[-1]
    num_seeds, num_classes = scores_RBSC.shape[2], int(class_C.max()) + 1
    if num_classes == num_clips:
        class_C, num_classes = np.zeros_like(class_C), 1
    member_CK = np.eye(num_classes)[class_C] / np.bincount(class_C)
    scores_RBSC = scores_RBSC.astype(np.float64)
    inside_RBSC = scores_RBSC - (scores_RBSC @ member_CK)[..., class_C]
    clip_RBC = inside_RBSC.mean(axis=2)
    rest_RBSC = inside_RBSC - clip_RBC[:, :, None]
    rest_RBX = rest_RBSC.reshape(*rest_RBSC.shape[:2], -1)
    return BranchSums(
        seeds_RBS=scores_RBSC.mean(axis=-1),
        clips_RBB=num_seeds * clip_RBC @ clip_RBC.transpose(0, 2, 1),
        rest_RBB=rest_RBX @ rest_RBX.transpose(0, 2, 1),
        num_clips=num_clips,
        num_classes=num_classes,
    )


def mean_squares(difference_RSC: Array, class_C: NDArray[np.int64]) -> MeanSquares:
    """Mean squares [R] of whole tables of differences."""
    scores_RBSC = np.stack([difference_RSC, np.zeros_like(difference_RSC)], axis=1)
    found = branch_sums(scores_RBSC, class_C).squares(np.array([0]), np.array([1]))
    return replace(
        found,
        mean_X=found.mean_X[:, 0],
        seeds_X=found.seeds_X[:, 0],
        clips_X=found.clips_X[:, 0],
        rest_X=found.rest_X[:, 0],
    )


def seed_p(difference_XS: Array) -> Array:
    """[...] p of the paired t-test over the last axis."""
    num_seeds = difference_XS.shape[-1]
    error_X = difference_XS.std(axis=-1, ddof=1) / math.sqrt(num_seeds)
    return two_sided_p(difference_XS.mean(axis=-1) / error_X, num_seeds - 1)


def two_sided_p(t_X: Array, freedom: Array | float) -> Array:
    """p of t statistics."""
    return np.asarray(2 * special.stdtr(freedom, -np.abs(t_X)))


def holm_rows(p_RP: Array) -> Array:
    """Holm's adjusted p in each row."""
    order_RP = np.argsort(p_RP, axis=1)
    steps_P = np.arange(p_RP.shape[1], 0, -1)
    ordered_RP = np.take_along_axis(p_RP, order_RP, axis=1) * steps_P
    adjusted_RP = np.minimum(np.maximum.accumulate(ordered_RP, axis=1), 1.0)
    result_RP = np.empty_like(p_RP)
    np.put_along_axis(result_RP, order_RP, adjusted_RP, axis=1)
    return result_RP


def holm_told_apart(p_RP: Array, *, levels: Sequence[float]) -> Bools:
    """Which pairs Holm's steps tell apart in each row. levels: of a step, the smallest p first; at
    a planned look they are not alpha over the pairs that are left."""
    order_RP = np.argsort(p_RP, axis=1)
    is_small_RP = np.take_along_axis(p_RP, order_RP, axis=1) <= np.array(levels)
    result_RP = np.empty(p_RP.shape, dtype=bool)
    np.put_along_axis(result_RP, order_RP, np.logical_and.accumulate(is_small_RP, axis=1), axis=1)
    return result_RP


def hochberg_rows(p_RP: Array) -> Array:
    """Hochberg's adjusted p in each row."""
    order_RP = np.argsort(p_RP, axis=1)
    steps_P = np.arange(p_RP.shape[1], 0, -1)
    scaled_RP = np.take_along_axis(p_RP, order_RP, axis=1) * steps_P
    adjusted_RP = np.minimum.accumulate(scaled_RP[:, ::-1], axis=1)[:, ::-1]
    result_RP = np.empty_like(p_RP)
    np.put_along_axis(result_RP, order_RP, np.minimum(adjusted_RP, 1.0), axis=1)
    return result_RP


def is_flip_significant(difference_XS: Array, *, asked_X: Bools, alpha: float) -> Bools:
    """[...] whether the exact sign-flip p is at most alpha, where it is asked; False elsewhere."""
    found_X = np.zeros(asked_X.shape, dtype=bool)
    wanted_US = difference_XS[asked_X]
    num_seeds = wanted_US.shape[-1]
    found_U = _flip_p_bound(wanted_US) <= alpha
    open_VS = wanted_US[~found_U]
    if num_seeds <= _ALL_PATTERNS:
        patterns_T = sign_patterns(num_seeds).T
        sums_VP = np.abs(open_VS @ patterns_T)
        p_V = np.mean(sums_VP >= sums_VP[:, :1] * (1 - 1e-12), axis=-1)
        found_U[~found_U] = p_V <= alpha
    else:
        found_U[~found_U] = [sign_flip_p(row_S) <= alpha for row_S in open_VS]
    found_X[asked_X] = found_U
    return found_X


def _flip_p_bound(difference_US: Array) -> Array:
    """[U] what the sign-flip p is not above (Bentkus and Dzindzalieta 2015): the tail of a sum of
    values with random signs is at most 1 / (4 P(Z >= sqrt 2)) times the normal one."""
    size_U = np.sqrt((difference_US**2).sum(axis=-1))
    with np.errstate(divide="ignore", invalid="ignore"):
        z_U = np.abs(difference_US.sum(axis=-1)) / size_U
    factor = 1 / (4 * special.ndtr(-math.sqrt(2)))
    return np.where(size_U > 0, 2 * factor * special.ndtr(-z_U), 1.0)


def sign_patterns(num_seeds: int) -> Array:
    """All sign patterns [P, S] up to a common sign, the identity first."""
    bits = (np.arange(2 ** (num_seeds - 1))[:, None] >> np.arange(num_seeds)) & 1
    return np.asarray(1.0 - 2.0 * bits, dtype=np.float64)
