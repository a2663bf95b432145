"""Diversity of one clip's images."""

from itertools import combinations

import numpy as np
import pytest

from core.randomness import rng
from harness.metrics.diversity import feature_diversity, mean_distance_to_others


def test_the_mean_over_a_group_is_the_mean_over_its_pairs():
    """Catches: an image's distance to itself among the pairs, or pairs of two clips."""
    features = rng(0, "diverse").standard_normal((7, 4))
    groups = ["a", "b", "a", "a", "b", "c", "a"]
    values = feature_diversity(features, groups=groups)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    for name in ("a", "b"):
        rows = [k for k, group in enumerate(groups) if group == name]
        pairs = [1 - unit[i] @ unit[j] for i, j in combinations(rows, 2)]
        assert values[rows].mean() == pytest.approx(np.mean(pairs), rel=1e-12)
    assert np.isnan(values[5])


def test_equal_images_have_no_diversity_and_opposite_ones_the_most():
    """Catches: the cosine itself reported as a distance."""
    features = [[1.0, 0.0], [4.0, 0.0], [0.0, 1.0], [0.0, -1.0]]
    values = feature_diversity(features, groups=["same", "same", "far", "far"])
    np.testing.assert_allclose(values, [0.0, 0.0, 2.0, 2.0], atol=1e-12)


def test_each_pair_is_asked_once():
    """Catches: the costly distance computed in both directions."""
    asked = []

    def distance(i: int, j: int) -> float:
        asked.append((i, j))
        return float(10 * i + j)

    values = mean_distance_to_others([0, 0, 0], distance=distance)
    assert asked == [(0, 1), (0, 2), (1, 2)]
    np.testing.assert_allclose(values, [1.5, 6.5, 7.0])
