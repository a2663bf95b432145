"""Does a scorer tell a clip's own partner: rate, interval and permutation test."""

import numpy as np
import pytest

from core.randomness import rng
from harness.statistics.telling import Among, telling

CLASSES = [f"c{k // 6}" for k in range(48)]


def _table(seed: int, *, of_class: float, of_clip: float) -> np.ndarray:
    """Similarities with an effect of the class and one of the clip, and noise."""
    num = len(CLASSES)
    same = np.array(CLASSES)[:, None] == np.array(CLASSES)[None, :]
    noise = rng(seed, "telling").standard_normal((num, num))
    return noise + of_class * same + of_clip * np.eye(num)


def test_a_rate_is_the_share_of_others_that_fit_less():
    """Catches: the own clip counted, ties as wins, clips of the class against other classes."""
    table = np.array([[3, 1, 5, 3], [0, 1, 2, 0], [1, 1, 2, 9], [0, 2, 4, 1]], dtype=float)
    classes = ["a", "a", "b", "b"]
    within = telling(table, classes=classes, among=Among.SAME_CLASS)
    across = telling(table, classes=classes, among=Among.OTHER_CLASSES)
    assert within is not None
    assert across is not None
    # within: 3 > 1; 1 > 0; 2 < 9; 1 < 4. across: 3 of (5, 3); 1 of (2, 0); 2 of (1, 1); 1 of (0, 2)
    assert within.rate == pytest.approx((1 + 1 + 0 + 0) / 4)
    assert across.rate == pytest.approx((0.25 + 0.5 + 1 + 0.5) / 4)
    assert within.num_clips == across.num_clips == 4


def test_a_scorer_of_classes_is_at_chance_within_them():
    """Catches: the class counted as hearing the clip."""
    table = _table(0, of_class=4.0, of_clip=0.0)
    across = telling(table, classes=CLASSES, among=Among.OTHER_CLASSES)
    within = telling(table, classes=CLASSES, among=Among.SAME_CLASS)
    assert across is not None
    assert across.is_told
    assert across.rate > 0.95
    assert within is not None
    assert not within.is_told
    assert within.low < 0.5 < within.high
    told = telling(_table(0, of_class=0.0, of_clip=2.0), classes=CLASSES, among=Among.SAME_CLASS)
    assert told is not None
    assert told.is_told


def test_chance_is_called_told_as_often_as_the_level_says():
    """Catches: an interval of pairs in place of clips, a p that is too small, a one-sided slip."""
    trials = 300
    found = [
        telling(
            _table(seed, of_class=1.0, of_clip=0.0),
            classes=CLASSES,
            among=Among.SAME_CLASS,
            num_permutations=200,
        )
        for seed in range(trials)
    ]
    told = sum(one is not None and one.is_told for one in found)
    covered = sum(one is not None and one.low <= 0.5 <= one.high for one in found)
    assert told <= 16  # 2.5 % of 300 is 7.5, and 16 is exceeded in 0.3 % of cases
    assert covered / trials >= 0.90  # some 99 %: noise alone counts in rows and in columns


def test_the_interval_covers_the_rate_of_other_clips():
    """Catches: references taken as fixed, so that an interval for other clips is too narrow.

    A clip's sound fits every picture more or less, so a clip counts as a reference too.
    """
    trials, covered = 300, 0
    truth = None
    for seed in range(-1, trials):
        num = 600 if seed < 0 else len(CLASSES)
        draw = rng(seed + 1, "telling with strong references")
        own, noise = draw.standard_normal(num), draw.standard_normal((num, num))
        table = noise + 1.5 * own[None, :] + 1.2 * np.eye(num)
        classes = ["one"] * num
        found = telling(table, classes=classes, among=Among.SAME_CLASS, num_permutations=0)
        assert found is not None
        if truth is None:
            truth = found.rate
        covered += found.low <= truth <= found.high and seed >= 0
    assert 0.90 <= covered / trials <= 0.985


def test_what_never_fails_has_an_exact_lower_end_and_small_splits_have_no_rate():
    """Catches: an interval of width 0 from a few clips, or a rate of nothing."""
    perfect = np.eye(10)
    found = telling(perfect, classes=["a"] * 10, among=Among.SAME_CLASS)
    assert found is not None
    assert (found.rate, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.025 ** (1 / 10))
    assert telling(np.eye(3), classes=["a", "b", "c"], among=Among.SAME_CLASS) is None
    assert telling(np.eye(3), classes=["a"] * 3, among=Among.OTHER_CLASSES) is None
    with pytest.raises(ValueError, match="square"):
        telling(np.eye(3), classes=["a"], among=Among.SAME_CLASS)


def test_clips_of_different_folds_are_never_compared():
    """Catches: similarities of two regressions, which have no common scale, taken as one table;
    partners dealt out between folds."""
    # Within a fold the own one is ahead; whatever is of the other fold is above both.
    table = np.full((4, 4), 9.0)
    table[:2, :2] = [[2, 1], [1, 2]]
    table[2:, 2:] = [[4, 3], [3, 4]]
    classes, folds = ["a"] * 4, [0, 0, 1, 1]
    found = telling(table, classes=classes, among=Among.SAME_CLASS, folds=folds)
    assert found is not None
    assert found.rate == 1.0
    assert found.p == pytest.approx(0.25, abs=0.03)  # one of 2 x 2 ways to deal partners out
    whole = telling(table, classes=classes, among=Among.SAME_CLASS)
    assert whole is not None
    assert whole.rate == pytest.approx(1 / 3)
    # Against other classes of the fold: none in the first, one class each in the second.
    across = telling(
        table, classes=["a", "a", "a", "b"], among=Among.OTHER_CLASSES, folds=[0, 0, 1, 1]
    )
    assert across is not None
    assert (across.num_clips, across.rate) == (2, 1.0)
    assert across.p == pytest.approx(0.5, abs=0.03)


def test_chance_in_folds_is_called_told_as_often_as_the_level_says():
    """Catches: a test or interval that takes folds with scales of their own for one world."""
    trials, num = 300, len(CLASSES)
    folds = [k % 4 for k in range(num)]
    same = np.array(folds)[:, None] == np.array(folds)[None, :]
    found = []
    for seed in range(trials):
        scale = np.array([1.0, 10.0, 0.1, 3.0])[folds]
        table = _table(seed, of_class=0.0, of_clip=0.0) * scale[:, None] + 50.0 * ~same
        found.append(
            telling(
                table,
                classes=["one"] * num,
                among=Among.SAME_CLASS,
                folds=folds,
                num_permutations=200,
            )
        )
    told = sum(one is not None and one.is_told for one in found)
    covered = sum(one is not None and one.low <= 0.5 <= one.high for one in found)
    assert told <= 16
    assert covered / trials >= 0.90


def test_a_constant_scorer_has_an_interval_as_wide_as_its_clips_allow():
    """Catches: chance to the last digit, 0.5 to 0.5, of a scorer that ties all pairs."""
    found = telling(np.zeros((6, 6)), classes=["one"] * 6, among=Among.SAME_CLASS)
    assert found is not None
    assert (found.rate, found.p, found.is_told) == (0.5, 1.0, False)
    # Clopper and Pearson, 3 of 6.
    assert (found.low, found.high) == pytest.approx((0.1181, 0.8819), abs=1e-4)
