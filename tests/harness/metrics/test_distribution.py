"""Distances between sets against direct loops, torchmetrics and SciPy."""

import numpy as np
import pytest
import torch
from scipy import linalg
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from core.randomness import rng
from harness.metrics.distribution import (
    CMMD_SCALE,
    FrechetDistance,
    KernelDistance,
    cmmd,
    cmmd_kernel,
    frechet,
    kid,
    kid_kernel,
)


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
    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        # torchmetrics asks a custom extractor for its width with a picture of noise.
        if features.ndim == 4:
            return torch.zeros(len(features), self.num_features, dtype=torch.float64)
        return features.double()


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save:UserWarning")
@pytest.mark.parametrize(("n", "width"), [(24, 6), (10, 40)])
def test_kid_agrees_with_torchmetrics_on_one_subset_of_everything(n, width):
    """Catches: another definition than the field's, also with fewer images than features."""
    x, y = _features("x", n, width), _features("y", n, width, shift=0.3)
    reference = KernelInceptionDistance(feature=_Identity(width), subsets=1, subset_size=n)
    reference.set_dtype(torch.float64)
    reference.update(torch.from_numpy(y), real=True)
    reference.update(torch.from_numpy(x), real=False)
    mean, _ = reference.compute()
    assert kid(x, real_MD=y) == pytest.approx(float(mean), rel=1e-6)


@pytest.mark.parametrize(("n", "m", "width"), [(60, 50, 12), (9, 7, 12), (60, 8, 12)])
def test_frechet_agrees_with_torchmetrics(n, m, width):
    """Catches: another estimate of the covariance than the field's, also for N < D."""
    x, y = _features("x", n, width), 2 * _features("y", m, width, shift=0.4)
    reference = FrechetInceptionDistance(feature=_Identity(width), normalize=True)
    reference.set_dtype(torch.float64)
    reference.update(torch.from_numpy(y), real=True)
    reference.update(torch.from_numpy(x), real=False)
    assert frechet(x, real_MD=y) == pytest.approx(float(reference.compute()), rel=1e-6)


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


@pytest.mark.parametrize("distance", [kid, cmmd, frechet])
def test_a_distance_of_one_image_is_refused(distance):
    """Catches: a division by zero that ends as a number in a table."""
    with pytest.raises(ValueError, match="at least 2 rows"):
        distance(_features("x", 1, 4), real_MD=_features("y", 5, 4))
    with pytest.raises(ValueError, match="at least 2 rows"):
        distance(_features("x", 5, 4), real_MD=_features("y", 1, 4))


def _unit(row: np.ndarray) -> np.ndarray:
    return row / np.sqrt(sum(value * value for value in row))


def _gauss(a: np.ndarray, b: np.ndarray) -> float:
    apart = sum((p - q) ** 2 for p, q in zip(_unit(a), _unit(b), strict=True))
    return float(np.exp(-apart / (2 * 10.0**2)))


@pytest.mark.parametrize(("n", "m", "width"), [(9, 7, 5), (4, 6, 20), (2, 2, 3)])
def test_cmmd_equals_the_direct_double_sum(n, m, width):
    """Catches: a wrong bandwidth, features of any length, the diagonal, or a missing 1000."""
    x, y = _features("x", n, width), 3 * _features("y", m, width, shift=0.5)

    def within(rows: np.ndarray) -> float:
        count = len(rows)
        pairs = [_gauss(rows[i], rows[j]) for i in range(count) for j in range(count) if i != j]
        return sum(pairs) / (count * (count - 1))

    between = [_gauss(a, b) for a in x for b in y]
    expected = 1000 * (within(x) + within(y) - 2 * sum(between) / len(between))
    assert cmmd(x, real_MD=y) == pytest.approx(expected, rel=1e-6)


def test_cmmd_is_the_authors_arithmetic_without_its_diagonals():
    """Catches: another kernel or scale than the published numbers rest on.

    Their code takes plain means of exp(-gamma (|x|^2 + |y|^2 - 2 x.y)) over unit rows.
    """
    x, y = (
        np.stack([_unit(row) for row in _features(name, 30, 8, shift=shift)])
        for name, shift in (("x", 0.0), ("y", 0.4))
    )

    def mean_kernel(a: np.ndarray, b: np.ndarray, *, own: bool) -> float:
        squares = np.sum(a**2, 1)[:, None] + np.sum(b**2, 1)[None] - 2 * a @ b.T
        kernel = np.exp(-squares / 200)
        if own:
            return float(kernel[~np.eye(len(a), dtype=bool)].mean())
        return float(kernel.mean())

    parts = mean_kernel(x, x, own=True) + mean_kernel(y, y, own=True)
    expected = 1000 * (parts - 2 * mean_kernel(x, y, own=False))
    assert cmmd(x, real_MD=y) == pytest.approx(expected, rel=1e-6)


def test_cmmd_of_two_pairs_by_hand():
    """Catches: a factor. Unit rows e1, e2 against -e1, -e2: kernels exp(-2/200), exp(-4/200)."""
    x = np.array([[2.0, 0.0], [0.0, 5.0]])
    near, far = np.exp(-0.01), np.exp(-0.02)
    assert cmmd(x, real_MD=-x) == pytest.approx(1000 * (2 * near - (near + far)), rel=1e-12)


def test_a_kernel_distance_of_identical_sets_is_at_most_zero():
    """Catches: a diagonal left in one of the three sums alone."""
    x = _features("x", 12, 5)
    for distance, kernel in ((kid, kid_kernel), (cmmd, cmmd_kernel)):
        own = kernel(x, x)
        off = own[~np.eye(12, dtype=bool)].mean()
        scale = CMMD_SCALE if distance is cmmd else 1.0
        expected = scale * 2 * (off - own.mean())
        assert distance(x, real_MD=x) == pytest.approx(expected, rel=1e-9)
        assert distance(x, real_MD=x) < 0


def test_cmmd_between_two_samples_of_one_distribution_averages_to_zero():
    """Catches: the authors' V-statistic, which at 10 images is far from 0."""
    values = [
        cmmd(_features(f"a{k}", 10, 8), real_MD=_features(f"b{k}", 14, 8)) for k in range(400)
    ]
    assert abs(np.mean(values)) < 3.5 * np.std(values) / np.sqrt(len(values))


def test_a_zero_feature_has_no_cmmd():
    """Catches: NaN in a table from a division by zero."""
    x = _features("x", 4, 3)
    with pytest.raises(ValueError, match="zero"):
        cmmd(x * 0, real_MD=x)


@pytest.mark.parametrize(("kernel", "distance"), [(kid_kernel, kid), (cmmd_kernel, cmmd)])
def test_a_subset_of_kept_matrices_equals_the_distance_of_the_subset(kernel, distance):
    """Catches: rows and columns taken for each other when matrices are reused."""
    x, y = _features("x", 9, 4), _features("y", 7, 4, shift=0.5)
    scale = CMMD_SCALE if distance is cmmd else 1.0
    kept = KernelDistance.of(x, y_MD=y, kernel=kernel, scale=scale)
    rows, columns = np.array([8, 1, 4]), np.array([0, 6, 5, 2])
    assert kept.between() == pytest.approx(distance(x, real_MD=y), rel=1e-12)
    assert kept.between(rows, columns) == pytest.approx(distance(x[rows], real_MD=y[columns]))
    assert kept.between(rows) == pytest.approx(distance(x[rows], real_MD=y))
    with pytest.raises(ValueError, match="at least 2"):
        kept.between(rows[:1])
    both = FrechetDistance.of(x, y_MD=y)
    assert both.between(rows, columns) == frechet(x[rows], real_MD=y[columns])


def test_a_resample_counts_pairs_of_different_rows_alone():
    """Catches: a row drawn twice paired with itself, which biases the bootstrap upwards."""
    x, y = _features("x", 5, 3), _features("y", 4, 3, shift=0.5)
    kept = KernelDistance.of(x, y_MD=y, kernel=kid_kernel)
    counts_x, counts_y = np.array([[1.0] * 5, [2, 0, 1, 2, 0]]), np.array([[1.0] * 4, [0, 3, 0, 1]])
    whole, resample = kept.resampled(counts_x, counts_y_BM=counts_y)
    assert whole == pytest.approx(kept.between(), rel=1e-12)

    def within(rows: np.ndarray, drawn: list[int]) -> float:
        pairs = [(a, b) for a in drawn for b in drawn if a != b]
        return float(np.mean([kid_kernel(rows[[a]], rows[[b]])[0, 0] for a, b in pairs]))

    drawn_x, drawn_y = [0, 0, 2, 3, 3], [1, 1, 1, 3]
    between = np.mean([kid_kernel(x[[a]], y[[b]])[0, 0] for a in drawn_x for b in drawn_y])
    expected = within(x, drawn_x) + within(y, drawn_y) - 2 * between
    assert resample == pytest.approx(expected, rel=1e-12)
    (alone,) = kept.resampled(np.array([[5.0, 0, 0, 0, 0]]), counts_y_BM=counts_y[:1])
    assert np.isnan(alone)


def _perfect(n: int, *, correlation: float, repeat: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of a perfect generator and the real pictures of the same clips, of 8 classes."""
    draw = rng(repeat, "perfect generator", n, str(correlation))
    of_class = draw.normal(size=(8, 64))[np.arange(n) % 8]
    shared = correlation**0.5 * draw.normal(size=(n, 64))
    own = (1 - correlation) ** 0.5
    return tuple(of_class + shared + own * draw.normal(size=(n, 64)) for _ in range(2))


@pytest.mark.parametrize("correlation", [0.0, 0.6])
@pytest.mark.parametrize(
    ("distance", "n", "repeats"), [(kid, 16, 300), (kid, 66, 60), (cmmd, 66, 60)]
)
def test_a_perfect_generator_has_a_distance_of_zero(distance, n, repeats, correlation):
    """Catches: partners in the cross term, which put it at -.3 to -.8 and below the floor."""
    pairs = [_perfect(n, correlation=correlation, repeat=k) for k in range(repeats)]
    matched = np.array([distance(x, real_MD=y, is_matched=True) for x, y in pairs])
    assert abs(matched.mean()) < 3.5 * matched.std() / np.sqrt(repeats)
    biased = np.array([distance(x, real_MD=y) for x, y in pairs])
    assert biased.mean() < -3.5 * biased.std() / np.sqrt(repeats)


def test_a_matched_distance_equals_the_double_sum_over_different_clips():
    """Catches: partners left out of the sum and kept in its count, in resamples and subsets too."""
    x, y = _features("x", 6, 4), _features("y", 6, 4, shift=0.5)
    off = [(i, j) for i in range(6) for j in range(6) if i != j]

    def mean(a: np.ndarray, b: np.ndarray, pairs: list[tuple[int, int]]) -> float:
        return float(np.mean([kid_kernel(a[[i]], b[[j]])[0, 0] for i, j in pairs]))

    expected = mean(x, x, off) + mean(y, y, off) - 2 * mean(x, y, off)
    kept = KernelDistance.of(x, y_MD=y, kernel=kid_kernel, is_matched=True)
    assert kept.between() == pytest.approx(expected, rel=1e-12)
    rows, columns = np.array([0, 2, 5]), np.array([2, 5, 1])
    cross = [(i, j) for i in rows for j in columns if i != j]
    within_x = [(i, j) for i in rows for j in rows if i != j]
    within_y = [(i, j) for i in columns for j in columns if i != j]
    subset = mean(x, x, within_x) + mean(y, y, within_y) - 2 * mean(x, y, cross)
    assert kept.between(rows, columns) == pytest.approx(subset, rel=1e-12)
    counts_x, counts_y = np.zeros((2, 6)), np.zeros((2, 6))
    counts_x[0], counts_y[0] = 1, 1
    counts_x[1, rows], counts_y[1, columns] = 1, 1
    assert kept.resampled(counts_x, counts_y_BM=counts_y) == pytest.approx([expected, subset])
    with pytest.raises(ValueError, match="one to one"):
        KernelDistance.of(x, y_MD=y[:5], kernel=kid_kernel, is_matched=True)


def test_the_clips_contributions_are_the_jackknifes():
    """Catches: contributions whose mean is not the distance, so that branches are compared by
    another number than the one that is shown."""
    x, y = _features("x", 9, 4), _features("y", 9, 4, shift=0.5)
    kept = KernelDistance.of(x, y_MD=y, kernel=cmmd_kernel, scale=CMMD_SCALE, is_matched=True)
    whole = kept.between()
    left_out = [kept.between(rest, rest) for rest in (np.delete(np.arange(9), k) for k in range(9))]
    expected = 9 * whole - 8 * np.array(left_out)
    assert kept.contributions() == pytest.approx(expected, rel=1e-9)
    assert kept.contributions().mean() == pytest.approx(whole)


def test_few_images_of_many_classes_are_as_far_as_many_are():
    """Catches: pairs of one class, which are rarer among few images of each, counted by how many
    there are: KID of a generator that is off 12 % too small at 16 images of 8 classes."""
    of_class = rng(0, "means of classes").normal(size=(8, 16))

    def mean(n: int, repeats: int, *, is_weighted: bool) -> tuple[float, float]:
        values = []
        for repeat in range(repeats):
            draw = rng(repeat, "few of each class", n)
            kinds = np.arange(n) % 8
            own = draw.normal(size=(n, 16)) * 0.6
            x, y = (of_class[kinds] + own + 0.3 * draw.normal(size=(n, 16)) for _ in range(2))
            given = {"classes": kinds.tolist()} if is_weighted else {}
            values.append(kid(x + 0.5, real_MD=y, is_matched=True, **given))
        return float(np.mean(values)), float(np.std(values) / np.sqrt(repeats))

    few, error = mean(16, 900, is_weighted=True)
    many, error_of_many = mean(320, 60, is_weighted=True)
    assert few == pytest.approx(many, abs=3.5 * (error**2 + error_of_many**2) ** 0.5)
    unweighted, error = mean(16, 900, is_weighted=False)
    assert unweighted < many - 3.5 * (error**2 + error_of_many**2) ** 0.5
    # Of many of each class the weights hardly matter.
    assert mean(320, 5, is_weighted=False)[0] == pytest.approx(
        mean(320, 5, is_weighted=True)[0], rel=0.02
    )


def test_weighted_pairs_equal_the_sum_over_classes():
    """Catches: shares of classes that are not theirs, in values, subsets or contributions."""
    x, y = _features("x", 7, 4), _features("y", 7, 4, shift=0.5)
    kinds = [0, 0, 0, 1, 1, 1, 1]
    kept = KernelDistance.of(x, y_MD=y, kernel=kid_kernel, is_matched=True, classes=kinds)
    pair = kid_kernel(x, x) + kid_kernel(y, y) - kid_kernel(x, y) - kid_kernel(y, x)
    expected = 0.0
    for a in (0, 1):
        for b in (0, 1):
            block = [pair[i, j] for i in range(7) for j in range(7)
                     if i != j and (kinds[i], kinds[j]) == (a, b)]  # fmt: skip
            expected += kinds.count(a) * kinds.count(b) / 49 * float(np.mean(block))
    assert kept.between() == pytest.approx(expected, rel=1e-12)
    ones = np.ones((1, 7))
    assert kept.resampled(ones, counts_y_BM=ones) == pytest.approx(expected)
    assert kept.contributions().mean() == pytest.approx(expected)
    # Classes of one clip each have no pairs within them: all pairs count alike.
    alone = KernelDistance.of(x, y_MD=y, kernel=kid_kernel, is_matched=True, classes=range(7))
    assert alone.between() == pytest.approx(kid(x, real_MD=y, is_matched=True))
    with pytest.raises(ValueError, match="3 classes for 7 rows"):
        KernelDistance.of(x, y_MD=y, kernel=kid_kernel, is_matched=True, classes=[0, 1, 2])


@pytest.mark.parametrize("distance", [kid, cmmd, frechet])
def test_features_that_are_not_finite_are_refused_with_a_count(distance):
    """Catches: a distance of NaN, or a bare error of linear algebra."""
    x = _features("x", 6, 4)
    y = x.copy()
    y[2, 1] = np.nan
    with pytest.raises(ValueError, match="1 of 6 real images have features that are not finite"):
        distance(x, real_MD=y)
