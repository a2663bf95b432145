"""p-values adjusted for the number of comparisons. NaN stays NaN and is not counted."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def holm(p: ArrayLike) -> Array:
    """Adjusted p of each comparison, family-wise error (Holm 1979): for the primary pairs."""
    ordered, order, n = _sorted(p)
    return _unsorted(np.maximum.accumulate(ordered * (n - np.arange(n))), order=order, like=p)


def hochberg(p: ArrayLike) -> Array:
    """Adjusted p of each comparison, family-wise error, by steps up (Hochberg 1988): for ties.

    Where all p are at most alpha, all are shown at once, as the joint claim that every pair ties
    (an intersection-union test) asks for; Holm would take some of these pairs back. It keeps the
    level for positively dependent tests, as those of pairs of branches are.
    """
    ordered, order, n = _sorted(p)
    scaled = ordered * (n - np.arange(n))
    return _unsorted(np.minimum.accumulate(scaled[::-1])[::-1], order=order, like=p)


def benjamini_hochberg(p: ArrayLike) -> Array:
    """Adjusted p, false discovery rate (Benjamini and Hochberg 1995): for all other metrics."""
    from scipy.stats import false_discovery_control

    ordered, order, n = _sorted(p)
    adjusted = false_discovery_control(ordered) if n else ordered
    return _unsorted(np.asarray(adjusted), order=order, like=p)


def _sorted(p: ArrayLike) -> tuple[Array, NDArray[np.int64], int]:
    values = np.asarray(p, dtype=np.float64)
    if np.any((values < 0) | (values > 1)):
        raise ValueError("a p-value is outside [0, 1]")
    present = np.flatnonzero(~np.isnan(values))
    order = present[np.argsort(values[present], kind="stable")]
    return values[order], order, len(order)


def _unsorted(adjusted: Array, *, order: NDArray[np.int64], like: ArrayLike) -> Array:
    result = np.full(np.shape(like), np.nan)
    result[order] = np.minimum(adjusted, 1.0)
    return result
