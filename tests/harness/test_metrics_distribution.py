"""Distances between sets against direct loops, torchmetrics and SciPy."""

import numpy as np
import pytest
import torch
from scipy import linalg
from torchmetrics.image.kid import KernelInceptionDistance

from core.randomness import rng
from harness.metrics.distribution import frechet, kid


def _features(name: str, rows: int, width: int, *, shift: float = 0.0) -> np.ndarray:
    return rng(0, "features", name).standard_normal((rows, width)) + shift


def _kid_by_loops(x: np.ndarray, y: np.ndarray) -> float:
    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return (sum(p * q for p, q in zip(a, b, strict=True)) / len(a) + 1.0) ** 3

    def within(rows: np.ndarray) -> float:
        n = len(rows)
        pairs = [kernel(rows[i], rows[j]) for i in range(n) for j in range(n) if i != j]
        return sum(pairs) / (n * (n - 1))

    between = [kernel(a, b) for a in x for b in y]
    return within(x) + within(y) - 2 * sum(between) / len(between)


@pytest.mark.parametrize(("n", "m", "width"), [(9, 7, 5), (4, 6, 20), (2, 2, 3)])
def test_kid_equals_the_direct_double_sum(n, m, width):
    """Catches: the diagonal in the sum, a wrong gamma, n for n - 1, or a wrong degree."""
    x, y = _features("x", n, width), _features("y", m, width, shift=0.5)
    assert kid(x, real_MD=y) == pytest.approx(_kid_by_loops(x, y), rel=1e-12)


class _Identity(torch.nn.Module):
    num_features = 6

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features.double()


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save:UserWarning")
def test_kid_agrees_with_torchmetrics_on_one_subset_of_everything():
    """Catches: another definition than the field's."""
    x, y = _features("x", 24, 6), _features("y", 24, 6, shift=0.3)
    reference = KernelInceptionDistance(feature=_Identity(), subsets=1, subset_size=24)
    reference.set_dtype(torch.float64)
    reference.update(torch.from_numpy(y), real=True)
    reference.update(torch.from_numpy(x), real=False)
    mean, _ = reference.compute()
    assert kid(x, real_MD=y) == pytest.approx(float(mean), rel=1e-6)


def test_kid_between_two_samples_of_one_distribution_averages_to_zero():
    """Catches: a biased estimate, which would rank branches by the number of images."""
    values = [kid(_features(f"a{k}", 10, 8), real_MD=_features(f"b{k}", 14, 8)) for k in range(400)]
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 3.5 * error
    assert min(values) < 0 < max(values)


def test_kid_grows_with_the_shift():
    """Catches: the sign."""
    real = _features("y", 40, 8)
    near, far = (kid(_features("x", 40, 8, shift=shift), real_MD=real) for shift in (0.3, 1.0))
    assert near < far


def test_frechet_of_identical_sets_is_zero():
    """Catches: a residue of the square root, as sqrtm leaves with singular covariances."""
    for rows, width in ((30, 6), (6, 30)):
        x = _features("x", rows, width)
        assert frechet(x, real_MD=x) == pytest.approx(0.0, abs=1e-10)


def test_frechet_in_one_dimension_by_hand():
    """Catches: a missing factor: (3 - 1)^2 + (sd 2 - sd 1)^2 for means 3, 1 and sds 2, 1."""
    x, y = np.array([[1.0], [3.0], [5.0]]), np.array([[0.0], [1.0], [2.0]])
    assert frechet(x, real_MD=y) == pytest.approx(4.0 + 1.0, rel=1e-12)


@pytest.mark.parametrize(("n", "m"), [(60, 50), (60, 8), (7, 50), (7, 8)])
def test_frechet_agrees_with_the_matrix_square_root(n, m):
    """Catches: a wrong reduction on either side of N = D."""
    width = 12
    x, y = _features("x", n, width), 2 * _features("y", m, width, shift=0.4)
    cov_x, cov_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    # Eigenvalues of the product, since sqrtm itself is unreliable where a side is singular.
    root_trace = np.sqrt(np.clip(linalg.eigvals(cov_x @ cov_y).real, 0, None)).sum()
    if min(n, m) > width:
        root_trace = np.trace(linalg.sqrtm(cov_x @ cov_y)).real
    expected = (
        np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(cov_x) + np.trace(cov_y) - 2 * root_trace
    )
    assert frechet(x, real_MD=y) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("distance", [kid, frechet])
def test_a_distance_of_one_image_is_refused(distance):
    """Catches: a division by zero that ends as a number in a table."""
    with pytest.raises(ValueError, match="at least 2 rows"):
        distance(_features("x", 1, 4), real_MD=_features("y", 5, 4))
    with pytest.raises(ValueError, match="at least 2 rows"):
        distance(_features("x", 5, 4), real_MD=_features("y", 1, 4))
