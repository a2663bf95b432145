"""The nearest training picture, and when an arm memorises."""

import numpy as np
import pandas as pd
import pytest

from core.randomness import rng
from harness.metrics.nearest import NearestTraining, nearest_rows


def test_the_nearest_is_found_by_angle_and_named():
    """Catches: nearness by length, or names shifted against rows."""
    training = [[1.0, 0.0], [0.0, 3.0], [5.0, 5.0]]
    images = [[9.0, 1.0], [0.1, 0.2], [1.0, 1.0]]
    ids, similarity = nearest_rows(images, training_TD=training, training_ids=["a", "b", "c"])
    assert ids == ["a", "c", "c"]
    expected = [9 / np.hypot(9, 1), 0.3 / np.hypot(0.1, 0.2) / np.sqrt(2), 1.0]
    np.testing.assert_allclose(similarity, expected, rtol=1e-12)


def _nearest(similarity: dict[str, np.ndarray]) -> NearestTraining:
    table = pd.DataFrame(
        [
            {"sample_id": str(k), "class_name": "rain", "arm": arm, "draw": 0,
             "nearest_id": "t", "similarity": value}
            for arm, values in similarity.items()
            for k, value in enumerate(values)
        ]
    )  # fmt: skip
    return NearestTraining(table=table, num_training=10, extractor="clip", extractor_hash="hash")


def test_copies_of_training_pictures_stand_out_from_real_test_pictures():
    """Catches: memorisation that the summary does not show, or an honest arm accused."""
    real = rng(0, "real").uniform(0.7, 0.9, 200)
    arms = (
        _nearest(
            {
                "audio": np.full(50, 0.999),
                "text_only": rng(1, "real").uniform(0.7, 0.9, 200),
                "real": real,
            }
        )
        .summary()
        .arms
    )
    assert arms["audio"].share_above_real_p95 == 1.0
    assert arms["audio"].max == 0.999 == pytest.approx(arms["audio"].mean)
    assert arms["text_only"].share_above_real_p95 == pytest.approx(0.05, abs=0.05)
    assert arms["real"].share_above_real_p95 == pytest.approx(0.05)
    assert (arms["audio"].n, arms["real"].n) == (50, 200)


def test_without_real_pictures_there_is_no_share():
    """Catches: a share against nothing."""
    summary = _nearest({"audio": np.array([0.5, 0.7])}).summary()
    assert summary.arms["audio"].share_above_real_p95 is None
    assert summary.num_training == 10
