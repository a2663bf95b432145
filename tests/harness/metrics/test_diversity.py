"""Diversity of one clip's images, within a run and over runs."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from core.errors import DataError
from core.randomness import rng
from harness.metrics.diversity import (
    feature_diversity,
    mean_distance_to_others,
    over_runs,
)
from harness.records.folders import IMAGE_FEATURES


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


def _write_run(folder: Path, *, seed: int, ids: list[str]) -> np.ndarray:
    folder.mkdir()
    judge = rng(seed, "run").standard_normal((len(ids), 3)).astype(np.float32)
    np.savez(
        folder / IMAGE_FEATURES,
        sample_id=np.array(ids),
        arm=np.array(["audio"] * (len(ids) - 1) + ["silence"]),
        draw=np.zeros(len(ids), dtype=np.int64),
        judge=judge,
    )
    return judge.astype(np.float64)


def test_over_runs_pairs_a_clip_with_itself_at_other_seeds(tmp_path):
    """Catches: clips paired by place, or the silent arm among the own sounds."""
    first = _write_run(tmp_path / "s0", seed=0, ids=["a", "b", "a"])
    second = _write_run(tmp_path / "s1", seed=1, ids=["b", "a", "a"])
    table = over_runs([tmp_path / "s0", tmp_path / "s1"], arm="audio").set_index("sample_id")
    assert table.loc["a", "n"] == table.loc["b", "n"] == 2
    for name, x, y in (("a", first[0], second[1]), ("b", first[1], second[0])):
        cosine = x @ y / np.linalg.norm(x) / np.linalg.norm(y)
        assert table.loc[name, "value"] == pytest.approx(1 - cosine)


def test_a_run_without_the_features_is_named(tmp_path):
    """Catches: diversity over the runs that happen to have features."""
    _write_run(tmp_path / "s0", seed=0, ids=["a", "b"])
    (tmp_path / "s1").mkdir()
    with pytest.raises(DataError, match="s1"):
        over_runs([tmp_path / "s0", tmp_path / "s1"], arm="audio")
    with pytest.raises(DataError, match="clip"):
        over_runs([tmp_path / "s0"], arm="audio", features="clip")
    with pytest.raises(DataError, match="no images of arm 'shuffled'"):
        over_runs([tmp_path / "s0"], arm="shuffled")
