"""Distances between two sets of image features, on plain arrays in float64.

Shape legend: N generated images, M real images, D feature width, B resamples.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.metrics.per_clip import unit_rows

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Kernel = Callable[[Array, Array], Array]

CMMD_SIGMA = 10.0
CMMD_SCALE = 1000.0


class Distance(Protocol):
    """A distance of two sets that are held, also between subsets of them."""

    @property
    def num_images(self) -> int:
        """Images on the smaller side."""

    def between(self, rows: Indices | None = None, columns: Indices | None = None) -> float:
        """The distance of the chosen generated rows to the chosen real ones (None: all).

        Raises: ValueError with fewer than 2 rows on a side.
        """


def kid_kernel(x_ND: Array, y_MD: Array) -> Array:
    """[N, M] (x.y / D + 1)^3, Binkowski et al. 2018 (arXiv 1801.01401), section 4."""
    return (x_ND @ y_MD.T / x_ND.shape[1] + 1.0) ** 3


def cmmd_kernel(x_ND: Array, y_MD: Array) -> Array:
    """[N, M] exp(-|x - y|^2 / (2 sigma^2)) on rows of length 1, sigma 10.

    Jayasumana et al. 2024 (arXiv 2401.09603): |x - y|^2 = 2 - 2 x.y there.
    """
    cosine_NM = unit_rows(x_ND) @ unit_rows(y_MD).T
    return np.exp((cosine_NM - 1.0) / CMMD_SIGMA**2)


@dataclass(frozen=True)
class KernelDistance:
    """Squared MMD, times a scale, from kernel matrices that are computed once.

    The unbiased U-statistic (Gretton et al. 2012, eq. 3): the diagonals are left out, so it is 0
    on average between two independent samples of one distribution and may be negative. Where row i
    of both sides belongs to one clip, the samples are no longer independent, and both hold the
    classes in the same shares: then each row's own partner leaves the cross term too (eq. 4), which
    puts the average back at 0.

    A mean over all pairs of different rows has fewer pairs of one class than two independent
    samples have: of 2 images in each of 8 classes 1 in 15, where the classes make up 1 in 8. Where
    such pairs are the more alike, a distance of few images is then too small (KID of a generator
    that is off: 12 % at 16 images, 3 % at 66). With classes the pairs are weighted so that each
    two classes count by their shares: the U-statistic of a stratified sample, unbiased at any n.
    """

    within_x_NN: Array
    """Kernel of generated images with each other."""
    within_y_MM: Array
    """Kernel of real images with each other."""
    between_NM: Array
    """Kernel of generated with real images."""
    scale: float = 1.0
    """Factor on the squared MMD."""
    is_matched: bool = False
    """Whether row i of both sides belongs to one clip, so that the pair (i, i) is left out."""
    weights_NN: Array | None = None
    """Of the pairs of matched rows; None: all alike."""

    @classmethod
    def of(
        cls,
        x_ND: ArrayLike,
        *,
        y_MD: ArrayLike,
        kernel: Kernel,
        scale: float = 1.0,
        is_matched: bool = False,
        classes: Sequence[object] | None = None,
    ) -> Self:
        """Compute the three matrices.

        classes: of each row of matched sides; None: as if all were of one.

        Raises: ValueError with fewer than 2 rows on a side, values that are not finite, matched
        sides of different lengths, or classes of rows that are not matched one to one.
        """
        x, y = _features(x_ND, name="generated"), _features(y_MD, name="real")
        if is_matched and len(x) != len(y):
            raise ValueError(f"{len(x)} and {len(y)} rows do not match one to one")
        weights_NN = None
        if classes is not None:
            if not is_matched or len(classes) != len(x):
                raise ValueError(f"{len(classes)} classes for {len(x)} rows of matched sides")
            weights_NN = _weights_of_pairs(classes)
        return cls(
            within_x_NN=kernel(x, x),
            within_y_MM=kernel(y, y),
            between_NM=kernel(x, y),
            scale=scale,
            is_matched=is_matched,
            weights_NN=weights_NN,
        )

    @property
    def num_images(self) -> int:
        """See `Distance.num_images`."""
        return int(min(self.between_NM.shape))

    def between(self, rows: Indices | None = None, columns: Indices | None = None) -> float:
        """See `Distance.between`."""
        x = np.arange(len(self.within_x_NN)) if rows is None else rows
        y = np.arange(len(self.within_y_MM)) if columns is None else columns
        if min(len(x), len(y)) < 2:
            raise ValueError(
                f"got {min(len(x), len(y))} rows; expected at least 2 rows on each side"
            )
        within_x = _mean_of_pairs(self.within_x_NN, self._weights("x"), x, x)
        within_y = _mean_of_pairs(self.within_y_MM, self._weights("y"), y, y)
        cross = _mean_of_pairs(self.between_NM, self._weights("cross"), x, y)
        return self.scale * (within_x + within_y - 2.0 * cross)

    def _weights(self, pairs: str) -> Array:
        """Of the pairs within x, within y, or across; a row's pair with itself or its partner
        has none."""
        if self.weights_NN is not None:
            return self.weights_NN
        if pairs == "cross" and not self.is_matched:
            return np.ones(self.between_NM.shape)
        size = len(self.within_y_MM if pairs == "y" else self.within_x_NN)
        return np.ones((size, size)) - np.eye(size)

    def resampled(self, counts_x_BN: Array, *, counts_y_BM: Array) -> Array:
        """[B] distances of resamples given as counts of each row; NaN for one of a single row.

        A pair of one row with itself stays out however often the row was drawn; counting it, as
        a resample of the features would, puts the diagonal's bias back. So do matched pairs.
        """
        x, y = counts_x_BN, counts_y_BM
        within_x = _resampled_pairs(x, self.within_x_NN, self._weights("x"), x)
        within_y = _resampled_pairs(y, self.within_y_MM, self._weights("y"), y)
        between = _resampled_pairs(x, self.between_NM, self._weights("cross"), y)
        return np.asarray(self.scale * (within_x + within_y - 2.0 * between))

    def contributions(self) -> Array:
        """[N] what each clip adds: the jackknife's pseudo-values, whose mean is the distance.

        Arvesen 1969: over clips they vary as the distance does, to first order, so a distance is
        compared clip by clip like any score of single images. With classes the weights of pairs
        stay as they are when a clip is left out. Of matched sides alone.

        Raises: ValueError for sides that are not matched, or fewer than 3 clips.
        """
        n = len(self.within_x_NN)
        if not self.is_matched or n < 3:
            raise ValueError(f"{n} rows, matched: {self.is_matched}; expected 3 matched ones")
        pair_NN = self.within_x_NN + self.within_y_MM - self.between_NM - self.between_NM.T
        weights_NN = self._weights("x")
        of_clip_N = n * (weights_NN * pair_NN).sum(axis=1) / weights_NN.sum()
        return np.asarray(self.scale * (2 * (n - 1) * of_clip_N - n * of_clip_N.mean()) / (n - 2))


@dataclass(frozen=True)
class FrechetDistance:
    """Frechet distance of Gaussians fitted to the features."""

    x_ND: Array
    """Features of the generated images."""
    y_MD: Array
    """Features of the real ones."""

    @classmethod
    def of(cls, x_ND: ArrayLike, *, y_MD: ArrayLike) -> Self:
        """Hold two sets. Raises: ValueError with fewer than 2 rows on a side."""
        return cls(_features(x_ND, name="generated"), _features(y_MD, name="real"))

    @property
    def num_images(self) -> int:
        """See `Distance.num_images`."""
        return min(len(self.x_ND), len(self.y_MD))

    def between(self, rows: Indices | None = None, columns: Indices | None = None) -> float:
        """See `Distance.between`."""
        x = self.x_ND if rows is None else self.x_ND[rows]
        y = self.y_MD if columns is None else self.y_MD[columns]
        return frechet(x, real_MD=y)


def kid(
    generated_ND: ArrayLike,
    *,
    real_MD: ArrayLike,
    is_matched: bool = False,
    classes: Sequence[object] | None = None,
) -> float:
    """Kernel inception distance: squared MMD with k(x, y) = (x.y / D + 1)^3.

    Binkowski et al. 2018 (arXiv 1801.01401), eq. 4: the unbiased U-statistic, so it is 0 on
    average between two samples of one distribution and may be negative. They average over
    subsets of 1,000; we take all images at once, which has the same mean and less variance.
    Features are not scaled to unit length: at length 1 the kernel would be all but linear.
    is_matched, classes: see `KernelDistance`.
    Raises: ValueError with fewer than 2 rows on a side.
    """
    distance = KernelDistance.of(
        generated_ND, y_MD=real_MD, kernel=kid_kernel, is_matched=is_matched, classes=classes
    )
    return distance.between()


def cmmd(
    generated_ND: ArrayLike,
    *,
    real_MD: ArrayLike,
    is_matched: bool = False,
    classes: Sequence[object] | None = None,
) -> float:
    """1000 times the squared MMD with a Gaussian kernel, sigma 10, on features of length 1.

    Jayasumana et al. 2024 (arXiv 2401.09603). The paper calls for the unbiased estimate and so
    do we; the authors' code keeps the diagonals (a V-statistic), which adds about
    2 * 1000 * (1 - mean kernel) / n: nothing at their 30,000 images, much at 67.
    is_matched, classes: see `KernelDistance`.
    Raises: ValueError with fewer than 2 rows on a side, or for a zero row.
    """
    distance = KernelDistance.of(
        generated_ND,
        y_MD=real_MD,
        kernel=cmmd_kernel,
        scale=CMMD_SCALE,
        is_matched=is_matched,
        classes=classes,
    )
    return distance.between()


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


def _features(features: ArrayLike, *, name: str) -> Array:
    rows = np.asarray(features, dtype=np.float64)
    if rows.ndim != 2 or len(rows) < 2:
        raise ValueError(f"{name} has shape {rows.shape}; expected at least 2 rows of features")
    bad = int((~np.isfinite(rows)).any(axis=1).sum())
    if bad:
        raise ValueError(
            f"{bad} of {len(rows)} {name} images have features that are not finite; an image of "
            "NaN or a scorer in too low a precision makes such"
        )
    return rows


def _weights_of_pairs(classes: Sequence[object]) -> Array:
    """[N, N] weights by which the pairs of each two classes count by the product of the classes'
    shares. A class of one clip has no pair within it, and counts in its pairs with others alone."""
    _, class_N = np.unique(np.asarray([str(name) for name in classes]), return_inverse=True)
    size_N = np.bincount(class_N)[class_N]
    is_same_NN = class_N[:, None] == class_N[None, :]
    within_N = size_N / np.maximum(size_N - 1, 1)
    weights_NN = np.where(is_same_NN, within_N[:, None], 1.0)
    np.fill_diagonal(weights_NN, 0.0)
    return np.asarray(weights_NN)


def _mean_of_pairs(values_NM: Array, weights_NM: Array, x: Indices, y: Indices) -> float:
    """NaN where no pair counts."""
    weights = weights_NM[np.ix_(x, y)]
    total = float(weights.sum())
    return float((weights * values_NM[np.ix_(x, y)]).sum()) / total if total > 0 else math.nan


def _resampled_pairs(x_BN: Array, values_NM: Array, weights_NM: Array, y_BM: Array) -> Array:
    """[B] mean over pairs of rows drawn so often; NaN where no pair counts."""
    total = ((x_BN @ (weights_NM * values_NM)) * y_BM).sum(axis=1)
    pairs = ((x_BN @ weights_NM) * y_BM).sum(axis=1)
    return np.divide(total, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def _square_at_most(centred_ND: Array) -> Array:
    """Rows R, at most D, with R^T R = A^T A."""
    rows, width = centred_ND.shape
    return centred_ND if rows <= width else np.asarray(np.linalg.qr(centred_ND, mode="r"))
