"""Does a scorer tell a clip's own partner from those of other clips? On plain arrays, float64.

Shape legend: N clips; rows are what is judged (pictures), columns what it is judged by (sounds).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from core.randomness import rng
from harness.statistics.rounding import is_rounding

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

CHANCE = 0.5


class Among(StrEnum):
    """Which other clips the own one is set against."""

    OTHER_CLASSES = "other classes"
    SAME_CLASS = "the same class"


@dataclass(frozen=True, kw_only=True)
class Telling:
    """How often the own partner fits better than another clip's."""

    rate: float
    """Mean over clips of the share of the others that fit less; ties count half; chance 0.5."""
    low: float
    """Lower end of the interval for other clips of these classes."""
    high: float
    """Upper end."""
    level: float
    """Nominal coverage."""
    p: float
    """One-sided p of chance: partners dealt out again at random."""
    num_clips: int
    """Clips that have another one to be set against."""

    @property
    def is_told(self) -> bool:
        """Whether it is shown to be above chance: by the interval and by the permutations."""
        return self.low > CHANCE and self.p <= (1 - self.level) / 2


def telling(
    similarity_NN: Array,
    *,
    classes: Sequence[str],
    among: Among,
    folds: Sequence[int] | None = None,
    tolerance: float = 0.0,
    level: float = 0.95,
    num_permutations: int = 4_000,
    seed: int = 0,
) -> Telling | None:
    """The rate with its interval; None where no clip has another one to be set against.

    similarity_NN: of each picture with each clip's partner, the own one on the diagonal.
    folds: of each clip, where similarities of different folds have no common scale: clips are
    compared within a fold alone, and partners dealt out again within it. None: one fold.
    tolerance: similarities closer than this are ties.

    The interval is a t interval over jackknife pseudo-values (Efron and Stein 1981), with the
    variance that they have within classes: a clip left out goes as a picture and as a partner of
    the others. It is rather too wide, since the noise of single pairs counts twice. Where all clips
    agree (each wins throughout, or a constant scorer ties throughout), it is the exact one of the
    rate's share of successes in as many tries (Clopper and Pearson 1934). p is that of a
    permutation test: under chance the partners of a
    class (of all clips, against other classes) are exchangeable.

    Raises: ValueError for a table that is not square, or as many classes as it has no rows.
    """
    num = len(classes)
    fold_N = np.zeros(num, dtype=np.int64) if folds is None else np.asarray(folds, dtype=np.int64)
    if similarity_NN.shape != (num, num):
        raise ValueError(f"got a table {similarity_NN.shape} for {num} clips; expected a square")
    group_N = np.unique(np.asarray(classes, dtype=object).astype(str), return_inverse=True)[1]
    same_NN = group_N[:, None] == group_N[None, :]
    compared_NN = same_NN & ~np.eye(num, dtype=bool) if among is Among.SAME_CLASS else ~same_NN
    compared_NN &= fold_N[:, None] == fold_N[None, :]
    if not compared_NN.any():
        return None
    won_NN = _won(np.diag(similarity_NN)[:, None] - similarity_NN, tolerance)
    rate, pseudo_N = _jackknife(won_NN, compared_NN)
    has_N = compared_NN.any(axis=1)
    low, high = _interval(pseudo_N[has_N], group_N[has_N], rate=rate, level=level)
    p = _permutation_p(
        similarity_NN,
        compared_NN,
        group_N=_cells(group_N, fold_N) if among is Among.SAME_CLASS else fold_N,
        rate=rate,
        tolerance=tolerance,
        size=num_permutations,
        seed=seed,
    )
    return Telling(rate=rate, low=low, high=high, level=level, p=p, num_clips=int(has_N.sum()))


def _cells(group_N: NDArray[np.int64], fold_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for each group within each fold."""
    pairs_N2 = np.stack([group_N, fold_N], axis=1)
    cell_N: NDArray[np.int64] = np.unique(pairs_N2, axis=0, return_inverse=True)[1].reshape(-1)
    return cell_N


def _won(ahead: Array, tolerance: float) -> Array:
    return np.where(np.abs(ahead) <= tolerance, 0.5, (ahead > 0).astype(np.float64))


def _jackknife(won_NN: Array, compared_NN: Mask) -> tuple[float, Array]:
    """(rate, [N] pseudo-values of leaving each clip out as a row and as a column)."""
    counted_NN = compared_NN.astype(np.float64)
    wins_N, number_N = (won_NN * counted_NN).sum(axis=1), counted_NN.sum(axis=1)
    has_N = number_N > 0
    rate = float((wins_N[has_N] / number_N[has_N]).mean())
    left_NN = number_N[:, None] - counted_NN  # row i without column k
    of_row_NN = (wins_N[:, None] - won_NN * counted_NN) / np.maximum(left_NN, 1)
    valid_NN = (left_NN > 0) & has_N[:, None] & ~np.eye(len(has_N), dtype=bool)
    number = valid_NN.sum(axis=0)
    without_N = np.where(
        number > 0, (of_row_NN * valid_NN).sum(axis=0) / np.maximum(number, 1), rate
    )
    count = int(has_N.sum())
    return rate, count * rate - (count - 1) * without_N


def _interval(
    pseudo_N: Array, group_N: NDArray[np.int64], *, rate: float, level: float
) -> tuple[float, float]:
    count = len(pseudo_N)
    squares, freedom = 0.0, 0
    for group in np.unique(group_N):
        own = pseudo_N[group_N == group]
        squares += float(((own - own.mean()) ** 2).sum())
        freedom += len(own) - 1
    if freedom < 1:  # each class has one clip: clips and classes cannot be told apart
        squares, freedom = float(((pseudo_N - pseudo_N.mean()) ** 2).sum()), count - 1
    if freedom < 1:
        return 0.0, 1.0
    error = math.sqrt(squares / freedom / count)
    if is_rounding(error, scale=1.0):
        won, lost, tail = rate * count, (1 - rate) * count, (1 - level) / 2
        low = float(stats.beta.ppf(tail, won, lost + 1)) if won > 0 else 0.0
        return low, float(stats.beta.isf(tail, won + 1, lost)) if lost > 0 else 1.0
    reach = float(stats.t.ppf(0.5 + level / 2, freedom)) * error
    return max(0.0, rate - reach), min(1.0, rate + reach)


def _permutation_p(
    similarity_NN: Array,
    compared_NN: Mask,
    *,
    group_N: NDArray[np.int64],
    rate: float,
    tolerance: float,
    size: int,
    seed: int,
) -> float:
    """Share of the ways to deal partners out within `group_N` that give as high a rate."""
    num = len(similarity_NN)
    number_N = compared_NN.sum(axis=1)
    rate_NN = np.full((num, num), np.nan)  # of row i, were column k its partner
    for row, of_row_N in enumerate(similarity_NN):
        won_KN = _won(of_row_N[:, None] - of_row_N[None, :], tolerance)
        rate_NN[row] = np.where(
            number_N > 0, (won_KN * compared_NN).sum(axis=1) / np.maximum(number_N, 1), np.nan
        )
    members = [np.flatnonzero(group_N == group) for group in np.unique(group_N)]
    draw = rng(seed, "partners dealt out again")
    rows, partner_N = np.arange(num), np.arange(num)
    as_high = 0
    for _ in range(size):
        for own in members:
            partner_N[own] = draw.permutation(own)
        as_high += np.nanmean(rate_NN[rows, partner_N]) >= rate - 1e-12
    return float((1 + as_high) / (1 + size))
