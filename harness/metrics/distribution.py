"""Distances between two sets of image features, on plain arrays in float64.

Shape legend: N generated images, M real images, D feature width.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def _features(features: ArrayLike, *, name: str) -> Array:
    rows = np.asarray(features, dtype=np.float64)
    if rows.ndim != 2 or len(rows) < 2:
        raise ValueError(f"{name} has shape {rows.shape}; expected at least 2 rows of features")
    return rows


def kid(generated_ND: ArrayLike, *, real_MD: ArrayLike) -> float:
    """Kernel inception distance: squared MMD with k(x, y) = (x.y / D + 1)^3.

    Binkowski et al. 2018 (arXiv 1801.01401), eq. 4: the unbiased U-statistic, so it is 0 on
    average between two samples of one distribution and may be negative. They average over
    subsets of 1,000; we take all images at once, which has the same mean and less variance.
    Features are not scaled to unit length: at length 1 the kernel would be all but linear.
    Raises: ValueError with fewer than 2 rows on a side.
    """
    x_ND = _features(generated_ND, name="generated")
    y_MD = _features(real_MD, name="real")
    n, m, width = len(x_ND), len(y_MD), x_ND.shape[1]

    def kernel(a: Array, b: Array) -> Array:
        return (a @ b.T / width + 1.0) ** 3

    within_x, within_y = kernel(x_ND, x_ND), kernel(y_MD, y_MD)
    same_x = (within_x.sum() - np.trace(within_x)) / (n * (n - 1))
    same_y = (within_y.sum() - np.trace(within_y)) / (m * (m - 1))
    return float(same_x + same_y - 2.0 * kernel(x_ND, y_MD).mean())


def frechet(generated_ND: ArrayLike, *, real_MD: ArrayLike) -> float:
    """Frechet distance of two Gaussians fitted to the features (Heusel et al. 2017, eq. 6).

    tr((S1 S2)^1/2) is the sum of the singular values of A B^T / sqrt((N-1)(M-1)) for the centred
    A and B: exact, with neither a matrix square root nor an epsilon, and also right for N < D.
    A side with more rows than columns is first replaced by its QR factor, which has the same
    covariance. Biased upwards at small N: compare only at equal N, beside a real-vs-real floor.
    Raises: ValueError with fewer than 2 rows on a side.
    """
    x_ND = _features(generated_ND, name="generated")
    y_MD = _features(real_MD, name="real")
    mean_x, mean_y = x_ND.mean(axis=0), y_MD.mean(axis=0)
    a = _square_at_most(x_ND - mean_x) / np.sqrt(len(x_ND) - 1)
    b = _square_at_most(y_MD - mean_y) / np.sqrt(len(y_MD) - 1)
    cross = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    distance = np.sum((mean_x - mean_y) ** 2) + np.sum(a**2) + np.sum(b**2) - 2.0 * cross
    return float(max(distance, 0.0))


def _square_at_most(centred_ND: Array) -> Array:
    """Rows R, at most D, with R^T R = A^T A."""
    rows, width = centred_ND.shape
    return centred_ND if rows <= width else np.asarray(np.linalg.qr(centred_ND, mode="r"))
