"""The rule of a win for many experiments at once; tests hold it to `verdict.compare_pairs`.

Shape legend: R experiments, P pairs, B branches, S seeds, C clips, K classes.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from harness.statistics.paired import sign_flip_p

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

_ALL_PATTERNS = 10  # seeds up to which all sign patterns are counted at once


@dataclass(frozen=True)
class MeanSquares:
    """Of the paired differences of R experiments, as `crossed.crossed_test` has them."""

    mean_R: Array
    """Mean difference."""
    seeds_R: Array
    """Mean square of seeds."""
    clips_R: Array
    """Mean square of clips within classes."""
    rest_R: Array
    """Mean square of what is left."""
    num_seeds: int
    """Seeds."""
    num_clips: int
    """Clips."""
    num_classes: int
    """Classes; 1 where each class has one clip."""

    @property
    def error_R(self) -> Array:
        """Standard error of the mean, for other seeds and clips."""
        most_R = np.maximum(self.seeds_R, self.clips_R)
        total_R = np.maximum(self.seeds_R + self.clips_R - self.rest_R, most_R)
        return np.asarray(np.sqrt(total_R / (self.num_seeds * self.num_clips)))

    @property
    def freedom_R(self) -> Array:
        """Its degrees of freedom."""
        seeds, clips = self.num_seeds - 1, self.num_clips - self.num_classes
        total_R = self.seeds_R + self.clips_R - self.rest_R
        is_less_R = total_R < np.maximum(self.seeds_R, self.clips_R)
        parts_R = self.seeds_R**2 / seeds + self.clips_R**2 / clips
        parts_R = parts_R + self.rest_R**2 / (seeds * clips)
        larger_R = np.where(self.seeds_R >= self.clips_R, seeds, clips)
        return np.where(is_less_R, larger_R, total_R**2 / parts_R)

    @property
    def p_R(self) -> Array:
        """Two-sided p of a mean of 0."""
        return two_sided_p(self.mean_R / self.error_R, self.freedom_R)


def mean_squares(difference_RSC: Array, class_C: NDArray[np.int64]) -> MeanSquares:
    """Mean squares of whole tables; float64 sums whatever the table's type."""
    _, num_seeds, num_clips = difference_RSC.shape
    num_classes = int(class_C.max()) + 1
    if num_classes == num_clips:
        class_C, num_classes = np.zeros_like(class_C), 1
    member_CK = np.eye(num_classes)[class_C] / np.bincount(class_C)
    seed_RS = difference_RSC.mean(axis=2, dtype=np.float64)
    clip_RC = difference_RSC.mean(axis=1, dtype=np.float64)
    mean_R = seed_RS.mean(axis=1)
    of_class_RSK = difference_RSC @ member_CK
    within_RC = clip_RC - (clip_RC @ member_CK)[:, class_C]
    square_R = (difference_RSC.astype(np.float64) ** 2).sum(axis=(1, 2))
    explained_R = (of_class_RSK**2 * np.bincount(class_C)).sum(axis=(1, 2))
    clips_R = num_seeds * (within_RC**2).sum(axis=1)
    freedom = num_clips - num_classes
    return MeanSquares(
        mean_R=mean_R,
        seeds_R=num_clips * seed_RS.var(axis=1, ddof=1),
        clips_R=clips_R / freedom,
        rest_R=(square_R - explained_R - clips_R) / ((num_seeds - 1) * freedom),
        num_seeds=num_seeds,
        num_clips=num_clips,
        num_classes=num_classes,
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


def is_flip_significant(difference_XS: Array, *, asked_X: Bools, alpha: float) -> Bools:
    """[...] whether the exact sign-flip p is at most alpha, where it is asked; False elsewhere."""
    found_X = np.zeros(asked_X.shape, dtype=bool)
    wanted_US = difference_XS[asked_X]
    num_seeds = wanted_US.shape[-1]
    if num_seeds <= _ALL_PATTERNS:
        patterns_T = sign_patterns(num_seeds).T
        sums_UP = np.abs(wanted_US @ patterns_T)
        p_U = np.mean(sums_UP >= sums_UP[:, :1] * (1 - 1e-12), axis=-1)
        found_X[asked_X] = p_U <= alpha
    else:
        found_X[asked_X] = [sign_flip_p(row_S) <= alpha for row_S in wanted_US]
    return found_X


def sign_patterns(num_seeds: int) -> Array:
    """All sign patterns [P, S] up to a common sign, the identity first."""
    bits = (np.arange(2 ** (num_seeds - 1))[:, None] >> np.arange(num_seeds)) & 1
    return np.asarray(1.0 - 2.0 * bits, dtype=np.float64)
