"""Scores of single images: hand-computed cases, ties, and loops as independent references."""

import math

import numpy as np
import pytest
from scipy import stats

from core.randomness import rng
from harness.metrics.per_clip import aic, attribute_errors, clip_score, unit_rows, win_rate


def test_clip_score_of_identical_embeddings_is_one_and_of_opposite_ones_minus_one():
    """Catches: clipping at zero, a factor of 100, or missing normalisation."""
    image = [[3.0, 4.0], [0.0, 2.0], [1.0, 0.0]]
    caption = [[30.0, 40.0], [0.0, -1.0], [1.0, 1.0]]
    scores = clip_score(image, caption_ID=caption)
    np.testing.assert_allclose(scores, [1.0, -1.0, math.sqrt(0.5)], rtol=1e-12)


def test_unit_rows_refuses_a_zero_or_non_finite_embedding():
    """Catches: NaN scores that later count as a score of the clip."""
    for bad in ([[0.0, 0.0]], [[math.nan, 1.0]], [[math.inf, 1.0]]):
        with pytest.raises(ValueError, match="finite"):
            unit_rows(bad)


def test_aic_counts_the_images_closest_to_their_own_class_caption():
    """Catches: argmin instead of argmax, or the transpose."""
    captions = [[1.0, 0.0], [0.0, 1.0]]
    images = [[2.0, 1.0], [1.0, 2.0], [1.0, 2.0]]
    np.testing.assert_array_equal(
        aic(images, class_caption_KD=captions, is_own_IK=np.eye(2)[[0, 1, 0]]), [1.0, 1.0, 0.0]
    )


def test_aic_counts_any_of_an_images_own_labels_and_a_tie_by_its_share():
    """Catches: one of several labels alone counted, or a tie between two own labels halved."""
    captions = np.eye(3)
    images = [[1.0, 0.2, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0], [1.0, 1.0, 0.0]]
    own = [[1, 1, 0], [1, 1, 0], [1, 1, 0], [1, 0, 1]]
    scores = aic(images, class_caption_KD=captions, is_own_IK=own)
    np.testing.assert_allclose(scores, [1.0, 0.0, 1.0, 0.5])


def test_aic_of_features_that_ignore_the_image_is_chance():
    """Catches: a tie won by whichever class comes first."""
    scores = aic(np.ones((4, 3)), class_caption_KD=np.ones((4, 3)), is_own_IK=np.eye(4))
    np.testing.assert_allclose(scores, 0.25)


def test_win_rate_by_hand_counts_ties_half_and_never_the_own_clip():
    """Catches: counting the own clip as a win or loss, or ties as wins."""
    similarity = [[0.5, 0.1, 0.5, 0.9], [0.2, 0.2, 0.2, 0.2]]
    np.testing.assert_allclose(win_rate(similarity, own=[0, 3]), [(1 + 0.5 + 0) / 3, 0.5])


def test_win_rate_equals_the_normalised_rank_of_the_own_clip():
    """Catches: any difference to the rank by an independent implementation."""
    similarity = rng(0, "win rate").standard_normal((20, 9)).round(1)
    own = [index % 9 for index in range(20)]
    ranks = [
        (stats.rankdata(row)[column] - 1) / 8 for row, column in zip(similarity, own, strict=True)
    ]
    np.testing.assert_allclose(win_rate(similarity, own=own), ranks)


def test_win_rate_of_a_random_image_averages_to_chance():
    """Catches: a bias that would let a deaf model score above one half."""
    similarity = rng(1, "win rate").standard_normal((4000, 5))
    own = [index % 5 for index in range(4000)]
    compared = np.ones((4000, 5), dtype=bool)
    compared[:, 4] = False
    assert win_rate(similarity, own=own, compared_IR=compared).mean() == pytest.approx(
        0.5, abs=0.02
    )


def test_win_rate_calls_float32_noise_a_tie():
    """Catches: the order of a duplicate clip's embeddings deciding a win."""
    np.testing.assert_allclose(win_rate([[0.5, 0.5 + 1e-8, 0.5 - 1e-8]], own=[0]), [0.5])


def test_win_rate_within_a_class_ignores_other_classes_and_is_undefined_when_alone():
    """Catches: a class of one clip scoring 0, 0.5 or 1."""
    similarity = [[0.5, 0.9, 0.1], [0.9, 0.9, 0.9]]
    same_class = np.array([[True, False, True], [False, True, False]])
    scores = win_rate(similarity, own=[0, 1], compared_IR=same_class)
    assert scores[0] == 1.0
    assert math.isnan(scores[1])


def test_win_rate_leaves_the_given_mask_unchanged():
    """Catches: the second metric on the same mask missing its own column."""
    same_class = np.ones((1, 2), dtype=bool)
    win_rate([[0.1, 0.2]], own=[0], compared_IR=same_class)
    assert same_class.all()


def test_attribute_error_is_the_absolute_difference_per_attribute():
    """Catches: squares, or an average over the wrong axis."""
    errors = attribute_errors([[0.25, 1.0], [0.5, 0.5]], true_IA=[[0.5, 0.0], [0.5, 0.75]])
    np.testing.assert_allclose(errors, [[0.25, 1.0], [0.0, 0.25]])
