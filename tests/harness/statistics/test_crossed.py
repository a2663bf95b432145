"""The crossed test of trainings and clips: by hand, against a regression, and in simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from core.randomness import rng
from harness.statistics.crossed import (
    Components,
    class_test,
    crossed_test,
    freedom_of_clips,
)
from harness.statistics.many import mean_squares
from harness.statistics.outcome import Population
from harness.statistics.paired import paired_difference

SIZES = (10, 10, 10, 10, 10, 9, 4, 3)
CLASSES = [f"class{k}" for k, size in enumerate(SIZES) for _ in range(size)]


def _table(draw, *, seeds, seed_sd, clip_sd, rest_sd=2**0.5, class_sd=0.0):
    clips = len(CLASSES)
    of_class = np.repeat(draw.normal(0, class_sd, len(SIZES)), SIZES)
    return (
        draw.normal(0, seed_sd, (seeds, 1))
        + of_class
        + draw.normal(0, clip_sd, clips)
        + draw.normal(0, rest_sd, (seeds, clips))
    )


def test_components_and_error_by_hand():
    """Catches: a sum of squares over the wrong axis, or its wrong degrees of freedom."""
    # Rows 1 and 3 apart, columns 0 and 4 apart, no rest: 1 class.
    got = crossed_test([[0.0, 4.0], [2.0, 6.0]], classes=["x", "x"])
    assert got.mean == 3.0
    # Seed means 2 and 4: mean square 2 * 2 = 4; clip means 1 and 5: mean square 2 * 8 = 16.
    assert (got.components.seeds, got.components.clips, got.components.rest) == (2.0, 8.0, 0.0)
    assert got.error == pytest.approx(math.sqrt(2 / 2 + 8 / 2))
    # (4 + 16)^2 / (4^2 + 16^2) with one degree of freedom each.
    assert got.freedom == pytest.approx(400 / 272)
    # By both it would be .350, by clips alone, 3 over 2 with one degree of freedom, it is .374.
    assert got.p == pytest.approx(2 * stats.t.sf(3 / 2, 1))
    assert got.equivalence_p(4.0) == pytest.approx(stats.t.sf(1 / math.sqrt(5), 400 / 272))


def test_components_equal_those_of_a_regression_on_seeds_classes_and_clips():
    """Catches: class means that leak into the clips' or the rest's mean square."""
    values = _table(rng(0, "anova"), seeds=5, seed_sd=0.4, clip_sd=0.7, class_sd=2.0)
    seeds, clips = np.indices(values.shape)
    classes = np.unique(CLASSES, return_inverse=True)[1][clips]

    def residual(*groups) -> float:
        columns = [np.eye(int(group.max()) + 1)[group.ravel()] for group in groups]
        design = np.concatenate(columns, axis=1)
        fitted = design @ np.linalg.lstsq(design, values.ravel(), rcond=None)[0]
        return float(((values.ravel() - fitted) ** 2).sum())

    cell = seeds * len(SIZES) + classes
    rest = residual(cell, clips) / (4 * (66 - 8))
    of_clips = (residual(seeds, classes) - residual(seeds, clips)) / (66 - 8)
    got = crossed_test(values, classes=CLASSES).components
    assert got.rest == pytest.approx(rest)
    assert got.clips == pytest.approx((of_clips - rest) / 5)
    assert got.seeds == pytest.approx(values.mean(axis=1).var(ddof=1) - rest / 66)


@pytest.mark.parametrize("seeds", [2, 3, 6])
def test_a_claim_for_clips_too_is_never_easier_than_one_for_these_clips(seeds):
    """Catches: an interval for other clips that is narrower than the one for these, as it was in
    55 to 95 % of tables of 2 seeds: two trainings that agree by chance."""
    draw, narrower = rng(seeds, "two seeds"), 0
    for _ in range(40):
        values = _table(draw, seeds=seeds, seed_sd=0.3, clip_sd=0.3)
        got = crossed_test(values, classes=CLASSES)
        alone = paired_difference(values.mean(axis=1), second=np.zeros(seeds))
        assert got.high - got.low >= (alone.high - alone.low) * (1 - 1e-9)
        assert got.p >= alone.t_p - 1e-12
        narrower += 2 * stats.t.ppf(0.975, got.freedom) * got.error < alone.high - alone.low
        other = class_test(values, classes=CLASSES)
        assert other.high - other.low >= (alone.high - alone.low) * (1 - 1e-9)
    assert narrower > 0


def test_without_variation_over_clips_it_is_the_t_test_over_seeds():
    """Catches: clips counted as replicates of a training."""
    seeds = rng(1, "seeds").normal(0.3, 1, 6)
    clips = rng(1, "clips").normal(0, 1e-6, 66)
    got = crossed_test(seeds[:, None] + clips, classes=CLASSES)
    reference = paired_difference(seeds, second=np.zeros(6))
    assert got.p == pytest.approx(reference.t_p)
    assert (got.low, got.high) == pytest.approx((reference.low, reference.high))


def test_without_variation_over_seeds_it_is_the_t_test_over_clips():
    """Catches: seeds counted as replicates of a clip."""
    clips, seeds = rng(2, "clips").normal(0.3, 1, 66), rng(2, "seeds").normal(0, 1e-6, (6, 1))
    got = crossed_test(clips + seeds - seeds.mean(), classes=["x"] * 66)
    assert got.p == pytest.approx(stats.ttest_1samp(clips, 0).pvalue)


@pytest.mark.parametrize(("of_scores", "precision"), [(0, "f8"), (1, "f8"), (1, "f4")])
def test_a_table_that_agrees_is_judged_by_its_signs(of_scores, precision):
    """Catches: p of 0, an interval of no width and a tie of any seeds where all differences are
    equal, or equal up to the rounding of the scores."""
    scores = of_scores * rng(7, "scores").normal(size=(6, 66))
    better, worse = (part.astype(precision).astype("f8") for part in (scores + 0.1, scores))
    differences, scale = better - worse, float(np.abs(better).max())
    for test in (crossed_test, class_test):
        got = test(differences, classes=CLASSES, scale=scale)
        # Six trainings on one side: 2 of 64 patterns. Clips and classes are more.
        assert got.p == pytest.approx(2.0**-5)
        assert math.isnan(got.low)
        assert math.isnan(got.high)
        assert got.equivalence_p(1.0) == pytest.approx(2.0**-6)
        assert got.equivalence_p(0.05) == 1.0
    parts = crossed_test(differences, classes=CLASSES, scale=scale).components
    assert (parts.seeds, parts.clips, parts.rest) == (0.0, 0.0, 0.0)
    assert parts.smallest_p(seeds=8, clips=66) == 2.0**-7


def test_the_expected_interval_has_the_freedom_of_the_test_where_each_class_has_one_clip():
    """Catches: one degree of freedom of eight clips of eight classes, whose test has seven: an
    interval five times as wide, and no number of seeds that would do."""
    got = crossed_test(rng(9, "eight").normal(size=(6, 8)), classes=list("abcdefgh"))
    spread = Components(
        seeds=0.0, clips=1.0, rest=0.0, num_seeds=6, num_clips=8, num_classes=8
    ).half_width(seeds=6, clips=8)
    assert spread == pytest.approx(stats.t.ppf(0.975, 7) / math.sqrt(8))
    assert got.alone[1].freedom == 7
    assert freedom_of_clips(16, num_classes=8) == 8


def test_clips_that_agree_bound_what_two_of_them_can_show():
    """Catches: a claim for other clips from two that agree, by trainings alone."""
    seeds = np.repeat(rng(8, "two clips").normal(5, 0.1, 6)[:, None], 2, axis=1)
    got = crossed_test(seeds, classes=["x", "x"])
    assert got.p == 0.5
    assert math.isnan(got.low)
    assert crossed_test(np.zeros((6, 2)), classes=["x", "x"]).p == 1.0


def test_a_clip_with_a_gap_is_left_out_and_counted():
    """Catches: a missing value taken for zero, or a clip that weighs on some trainings alone."""
    values = _table(rng(3, "gaps"), seeds=4, seed_sd=0.3, clip_sd=0.3)
    whole = crossed_test(values[:, 2:], classes=CLASSES[2:])
    values[1, 0] = values[2, 1] = np.nan
    got = crossed_test(values, classes=CLASSES)
    assert got.left_out == 2
    assert (got.mean, got.p, got.components) == (whole.mean, whole.p, whole.components)
    # A metric that a clip never has is no gap.
    values[:, :2] = np.nan
    assert crossed_test(values, classes=CLASSES).left_out == 0


def test_too_small_tables_have_no_test_and_wrong_classes_are_refused():
    """Catches: an interval from one training or one clip."""
    assert crossed_test(np.ones((1, 5)), classes=["x"] * 5) is None
    assert crossed_test(np.ones((5, 1)), classes=["x"]) is None
    with pytest.raises(ValueError, match="a class for each clip"):
        crossed_test(np.ones((5, 3)), classes=["x"] * 2)


def test_one_clip_a_class_takes_the_variance_between_classes():
    """Catches: no degrees of freedom left within classes, and so a NaN or a zero error."""
    values = _table(rng(4, "single"), seeds=6, seed_sd=0.2, clip_sd=0.5)
    got = crossed_test(values, classes=[str(k) for k in range(66)])
    assert not got.classes_apart
    assert got.p == pytest.approx(crossed_test(values, classes=["x"] * 66).p)


def test_other_classes_need_five_that_weigh_alike():
    """Catches: a claim about other classes from four, or from one with 60 of 67 clips."""
    values = rng(5, "classes").normal(size=(6, 67))
    assert class_test(values, classes=[f"{k % 4}" for k in range(67)]) is None
    lopsided = ["big"] * 60 + [f"small{k}" for k in range(7)]
    assert class_test(values, classes=lopsided) is None
    found = class_test(values, classes=[f"{k % 8}" for k in range(67)])
    assert found.population is Population.CLASSES


def test_the_class_test_equals_the_crossed_test_of_class_means_where_classes_are_equal():
    """Catches: a clustered variance of another size than the one it generalises."""
    draw = rng(6, "equal classes")
    of_class = draw.normal(0, 1, (6, 8)) + draw.normal(0, 1, 8) + draw.normal(0, 1, (6, 1))
    got = class_test(np.repeat(of_class, 5, axis=1), classes=[f"{k // 5}" for k in range(40)])
    means = crossed_test(of_class, classes=["x"] * 8)
    assert (got.mean, got.error) == pytest.approx((means.mean, means.error))
    assert got.freedom == pytest.approx(means.freedom)


@pytest.mark.parametrize(
    ("seeds", "seed_variance", "clip_sd"),
    [(6, 0.005, 0.45), (10, 0.005, 0.6), (10, 0.05, 0.45), (20, 0.05, 0.5)],
)
def test_equal_branches_are_not_told_apart_by_their_clips(seeds, seed_variance, clip_sd):
    """Catches: a win confirmed over seeds that other clips would not repeat (7 to 26 % here)."""
    draw, repeats = rng(seeds, "A/A", str(clip_sd)), 1_500
    class_C = np.unique(CLASSES, return_inverse=True)[1]
    shape = (repeats, seeds, len(CLASSES))
    values = draw.normal(0, math.sqrt(2), shape)
    values += draw.normal(0, math.sqrt(2 * seed_variance), (repeats, seeds, 1))
    values += draw.normal(0, clip_sd, (repeats, 1, len(CLASSES)))
    rate = float((mean_squares(values, class_C).p_X <= 0.05).mean())
    assert rate <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / repeats)
    of_seeds = stats.ttest_1samp(values.mean(axis=2), 0, axis=1).pvalue
    assert (of_seeds <= 0.05).mean() > rate + 0.02


def test_many_tables_at_once_give_what_one_gives():
    """Catches: a study of another test than the one that decides."""
    values = np.stack(
        [_table(rng(k, "many"), seeds=6, seed_sd=0.2, clip_sd=0.5 * k) for k in range(4)]
        + [_table(rng(9, "many"), seeds=6, seed_sd=0.0, clip_sd=0.0)]
    )
    fast = mean_squares(values, np.unique(CLASSES, return_inverse=True)[1])
    for k, table in enumerate(values):
        one = crossed_test(table, classes=CLASSES)
        assert fast.p_X[k] == pytest.approx(one.p)
        assert (fast.error_X[k], fast.freedom_X[k]) == pytest.approx((one.error, one.freedom))


def test_the_expected_width_shrinks_by_what_is_scarce():
    """Catches: advice to train more where only other clips would help."""
    found = Components(0.01, 0.3, 2.0, num_seeds=10, num_clips=66, num_classes=8)
    now = found.half_width(seeds=10, clips=66)
    assert found.half_width(seeds=10, clips=132) < 0.8 * now
    assert found.half_width(seeds=20, clips=66) > 0.8 * now
    values = _table(rng(7, "width"), seeds=10, seed_sd=0.5, clip_sd=0.5)
    got = crossed_test(values, classes=CLASSES)
    expected = got.components.half_width(seeds=10, clips=66)
    assert expected == pytest.approx((got.high - got.low) / 2, rel=1e-6)
