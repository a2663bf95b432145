"""Interval of a mean over seeds, classes and clips, by resampling all three. float64.

Shape legend: R resamples, S seeds, N clips; U the units drawn, K the values of each.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from core.randomness import rng
from harness.statistics.rounding import is_rounding

Array = NDArray[np.float64]

MIN_CLASSES_TO_DRAW = 5
"""With fewer, a t interval over classes is so wide that it says nothing."""


@dataclass(frozen=True)
class BootstrapInterval:
    """Mean of the values and where it would fall for other seeds, classes and clips."""

    mean: float
    """Mean over all values."""
    low: float
    """Lower end; NaN with fewer than 2 seeds, and where seeds or clips show no spread."""
    high: float
    """Upper end; NaN as above."""
    level: float
    """Nominal coverage."""
    num_seeds: int
    """Seeds."""
    num_classes: int
    """Classes."""
    num_clips: int
    """Clips."""
    classes_drawn: bool
    """Whether the interval speaks of other classes too; False: of these classes only."""


def hierarchical_bootstrap(
    values_NS: Array,
    *,
    clips: Sequence[tuple[str, str]],
    level: float = 0.95,
    num_resamples: int = 2_000,
    seed: int = 0,
    scale: float | None = None,
) -> BootstrapInterval:
    """Interval of the mean of paired differences or scores, over seeds, classes and clips.

    values_NS: a row per clip, a column per seed; NaN: no value, left out. clips: class and id of
    each row, in any order. scale: the largest score that differences were taken of, whose rounding
    is no spread; by default the largest value.

    Values that agree resample to themselves, which says nothing of other seeds or clips: where no
    draw of seeds, or none of clips, moves the mean, there is no interval.

    We depart from the textbook's nested draw (seed, in it classes, in them clips) in three points,
    each for the sake of coverage, which a simulation in the tests checks:

    - Every seed scores the same clips, so seeds and clips are drawn crosswise, not clips anew in
      every seed (Owen 2007, the pigeonhole bootstrap), and their two deviations from the mean
      are added: drawing both at once would count the noise of one clip in one seed three times.
      Each of the two still holds it, so the sum is shrunk to hold it once, by the residual mean
      square of the table; without that, coverage is 98 to 99 % where this noise prevails.
    - A drawn class brings all its clips. Its mean already varies with its clips; drawing among
      them as well would count that twice. Below 5 classes the classes are taken as given and
      clips are drawn within each; a class of one clip varies as the others do on average. Where
      each class has one clip, clips and classes cannot be told apart, and clips are drawn from all.
    - Both deviations are widened by t(n-1) / z * sqrt(n / (n-1)), for n seeds, classes or clips of
      a class (whose degrees of freedom add up): a bootstrap of few units is too narrow by about
      that factor (Hesterberg 2015, section 4.3, who changes the percentiles instead, which so few
      units cannot resolve).

    Raises: ValueError for no values.
    """
    is_present_NS = ~np.isnan(values_NS)
    if not is_present_NS.any():
        raise ValueError("the table holds no values")
    kept_N = is_present_NS.any(axis=1)
    order = sorted(np.flatnonzero(kept_N).tolist(), key=lambda row: clips[row])
    class_of_N = [clips[row][0] for row in order]
    return _of_table(
        values_NS[order][:, is_present_NS.any(axis=0)].T,
        class_sizes=np.array(list(Counter(class_of_N).values())),
        mean=float(values_NS[is_present_NS].sum() / is_present_NS.sum()),
        level=level,
        num_resamples=num_resamples,
        seed=seed,
        scale=float(np.nanmax(np.abs(values_NS))) if scale is None else scale,
    )


def _of_table(
    values_SN: Array,
    *,
    class_sizes: NDArray[np.int64],
    mean: float,
    level: float,
    num_resamples: int,
    seed: int,
    scale: float,
) -> BootstrapInterval:
    """The interval; columns lie class by class."""
    num_seeds, num_clips = values_SN.shape
    classes_drawn = len(class_sizes) >= MIN_CLASSES_TO_DRAW
    low = high = math.nan
    if num_seeds > 1:
        weight_RS, weight_RN, widening = _weights(
            num_seeds,
            tuple(class_sizes.tolist()),
            size=num_resamples,
            level=level,
            seed=seed,
        )
        of_seeds_R = _weighted(values_SN.T, weight_RS) - mean
        of_clips_R = _weighted(values_SN, weight_RN) - mean
        deviation_R = _widening(num_seeds, level) * of_seeds_R + widening * of_clips_R
        deviation_R *= _counted_once(of_seeds_R, of_clips_R, values_SN=values_SN)
        tails = [0.5 - level / 2, 0.5 + level / 2]
        spreads = (float(np.nanstd(part_R)) for part_R in (of_seeds_R, of_clips_R))
        if not any(is_rounding(spread, scale=scale) for spread in spreads):
            # Only a table with gaps can leave a draw without a value; that draw says nothing.
            low, high = (float(mean + end) for end in np.nanquantile(deviation_R, tails))
    return BootstrapInterval(
        mean=mean,
        low=low,
        high=high,
        level=level,
        num_seeds=num_seeds,
        num_classes=len(class_sizes),
        num_clips=num_clips,
        classes_drawn=classes_drawn,
    )


@lru_cache(maxsize=2)
def _weights(
    num_seeds: int, class_sizes: tuple[int, ...], *, size: int, level: float, seed: int
) -> tuple[Array, Array, float]:
    """([R, S] of the seeds, [R, N] of the clips, factor on the clips' deviations).

    The draws hang on nothing but these, and a comparison asks for the same ones for every pair of
    branches and every metric.
    """
    draw = rng(seed, "hierarchical bootstrap")
    weight_RS = _draws(num_seeds, size=size, draw=draw)
    if len(class_sizes) >= MIN_CLASSES_TO_DRAW:
        of_class_RK = _draws(len(class_sizes), size=size, draw=draw)
        weight_RN = np.repeat(of_class_RK, class_sizes, axis=1)
        widening = _widening(len(class_sizes), level)
    else:
        weight_RN, widening = _draws_within(
            np.array(class_sizes), size=size, level=level, draw=draw
        )
    for weight in (weight_RS, weight_RN):
        weight.setflags(write=False)
    return weight_RS, weight_RN, widening


@dataclass(frozen=True, kw_only=True)
class CrossedInterval:
    """Mean of a table and where it would fall for other rows and other columns."""

    mean: float
    """Mean over all values."""
    low: float
    """Lower end; NaN with one row and one column, and where all values agree."""
    high: float
    """Upper end; NaN as above."""
    error: float
    """Bootstrap standard error, widened; 0 where all values agree; NaN with one row and column."""
    p: float
    """Two-sided p against a mean of 0, by t of `error`; by signs of the fewer of rows and columns
    where all agree (2^(1 - n)); NaN with one row and one column."""


def crossed_bootstrap(
    values_SN: Array, *, level: float = 0.95, num_resamples: int = 2_000, seed: int = 0
) -> CrossedInterval:
    """Interval of the mean of a table whose rows and columns are both samples; NaN: no value.

    As `hierarchical_bootstrap`: rows and columns are drawn crosswise (Owen 2007), their deviations
    added, widened for few of them, and shrunk to hold the noise of the cells once. With one row
    (column) that row (column) is taken as given. The degrees of freedom of p are those of
    whichever varies more. Rows (columns) that all agree, as where the noise changes nothing, are
    taken as given; where both do, there is no spread to make an interval of.

    Raises: ValueError for a table without values.
    """
    values_SN = values_SN[np.isfinite(values_SN).any(axis=1)]
    values_SN = values_SN[:, np.isfinite(values_SN).any(axis=0)]
    if values_SN.size == 0:
        raise ValueError("the table holds no values")
    mean = float(np.nanmean(values_SN))
    draw = rng(seed, "crossed bootstrap")
    parts = []
    for table_KU in (values_SN.T, values_SN):
        count = table_KU.shape[1]
        if count > 1:
            weight_RU = _draws(count, size=num_resamples, draw=draw)
            deviation_R = _weighted(table_KU, weight_RU) - mean
            parts.append((_widening(count, level) * deviation_R, deviation_R, count - 1))
    if not parts:
        return CrossedInterval(mean=mean, low=math.nan, high=math.nan, error=math.nan, p=math.nan)
    factor = 1.0
    if len(parts) == 2:
        factor = _counted_once(parts[0][1], parts[1][1], values_SN=values_SN)
    deviation_R = factor * np.sum([wide for wide, _, _ in parts], axis=0)
    tails = [0.5 - level / 2, 0.5 + level / 2]
    low, high = (float(mean + end) for end in np.nanquantile(deviation_R, tails))
    own = [math.sqrt((n + 1) / n) * float(np.nanstd(plain)) for _, plain, n in parts]
    error = factor * math.hypot(*own)
    if is_rounding(error, scale=float(np.nanmax(np.abs(values_SN)))):
        p = 1.0 if mean == 0 else 2.0 ** -min(freedom for _, _, freedom in parts)
        return CrossedInterval(mean=mean, low=math.nan, high=math.nan, error=0.0, p=p)
    freedom = parts[int(np.argmax(own))][2]
    p = float(2 * stats.t.sf(abs(mean) / error, freedom))
    return CrossedInterval(mean=mean, low=low, high=high, error=error, p=p)


def _draws(count: int, *, size: int, draw: np.random.Generator) -> Array:
    """[R, count] how often each of `count` units is in a draw of as many, with replacement."""
    return draw.multinomial(count, np.full(count, 1 / count), size=size).astype(np.float64)


def _draws_within(
    class_sizes: NDArray[np.int64], *, size: int, level: float, draw: np.random.Generator
) -> tuple[Array, float]:
    """([R, N] weights of clips drawn within their classes, factor on their deviations)."""
    sizes = class_sizes if class_sizes.max() > 1 else np.array([class_sizes.sum()])
    parts = []
    for count in sizes:
        wide = math.sqrt(count / (count - 1)) if count > 1 else 0.0
        parts.append(1.0 + wide * (_draws(count, size=size, draw=draw) - 1.0))
    total, alone = int(sizes.sum()), int((sizes == 1).sum())
    freedom = total - len(sizes)
    if freedom < 1:  # a single clip
        return np.concatenate(parts, axis=1), 1.0
    return np.concatenate(parts, axis=1), _t_over_z(freedom, level) * math.sqrt(
        total / (total - alone)
    )


def _weighted(values_KU: Array, weight_RU: Array) -> Array:
    """[R] mean of the values whose unit u was drawn, as often as it was; NaN without any."""
    total_U = np.nansum(values_KU, axis=0)
    number_U = (~np.isnan(values_KU)).sum(axis=0)
    number_R = weight_RU @ number_U
    return np.where(number_R > 0, weight_RU @ total_U / np.maximum(number_R, 1), np.nan)


def _counted_once(of_seeds_R: Array, of_clips_R: Array, *, values_SN: Array) -> float:
    """Factor by which the sum of both deviations shrinks to hold the cells' noise once.

    The variance that both hold is that of the mean's own noise, residual mean square over number
    of cells; neither deviation alone is undercut.
    """
    seeds, clips = float(np.nanvar(of_seeds_R)), float(np.nanvar(of_clips_R))
    if seeds + clips == 0:
        return 1.0
    row_S1 = np.nanmean(values_SN, axis=1, keepdims=True)
    column_1N = np.nanmean(values_SN, axis=0, keepdims=True)
    residual_SN = values_SN - row_S1 - column_1N + np.nanmean(values_SN)
    cells = int((~np.isnan(values_SN)).sum())
    freedom = cells - sum(values_SN.shape) + 1
    if freedom < 1:
        return 1.0
    noise = float(np.nansum(residual_SN**2)) / freedom / cells
    return math.sqrt(max(seeds + clips - noise, seeds, clips) / (seeds + clips))


def _widening(count: int, level: float) -> float:
    return _t_over_z(count - 1, level) * math.sqrt(count / (count - 1))


@lru_cache(maxsize=256)
def _t_over_z(freedom: int, level: float) -> float:
    tail = 0.5 + level / 2
    return float(stats.t.ppf(tail, freedom) / stats.norm.ppf(tail))
