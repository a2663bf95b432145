"""The bootstrap over seeds, classes and clips: by hand, and its coverage in simulation."""

import math

import numpy as np
import pytest

from core.randomness import rng
from harness.statistics.bootstrap import crossed_bootstrap, hierarchical_bootstrap
from harness.statistics.paired import paired_difference

SIZES = (10, 10, 10, 10, 10, 9, 4, 3)


def _clips(sizes=SIZES) -> list[tuple[str, str]]:
    return [(f"class{k}", f"clip{k}-{i}") for k, size in enumerate(sizes) for i in range(size)]


def _simulated(draw, *, seeds, seed_sd, class_sd, clip_sd=1.0, noise_sd=1.0) -> np.ndarray:
    of_class = np.repeat(draw.normal(0, class_sd, len(SIZES)), SIZES)
    clips = sum(SIZES)
    return (
        draw.normal(0, seed_sd, (seeds, 1))
        + of_class
        + draw.normal(0, clip_sd, clips)
        + draw.normal(0, noise_sd, (seeds, clips))
    )


@pytest.mark.parametrize("noise", [0.0, 1e-16])
def test_values_that_agree_have_no_interval(noise):
    """Catches: an interval of no width, or of rounding, which claims to know every other value."""
    values_NS = 0.25 + noise * rng(0, "rounding").normal(size=(sum(SIZES), 3))
    got = hierarchical_bootstrap(values_NS, clips=_clips())
    assert got.mean == pytest.approx(0.25)
    assert math.isnan(got.low)
    assert math.isnan(got.high)
    assert (got.num_seeds, got.num_classes, got.num_clips) == (3, 8, 66)


def test_with_variation_between_seeds_alone_it_is_close_to_the_t_interval():
    """Catches: too narrow an interval from few seeds, the bootstrap's known fault."""
    seeds = rng(0, "seeds").normal(0, 1, 6)
    clips_N1 = rng(0, "clips").normal(0, 1e-4, (sum(SIZES), 1))
    got = hierarchical_bootstrap(seeds[None] + clips_N1, clips=_clips())
    reference = paired_difference(seeds, second=np.zeros(6))
    width = (got.high - got.low) / (reference.high - reference.low)
    assert width == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("sizes", [SIZES, (20, 20), (1, 1, 1), (7,)])
@pytest.mark.parametrize("share_missing", [0.0, 0.2])
def test_the_same_table_in_another_order_gives_the_same_interval(sizes, share_missing):
    """Catches: an interval that depends on the order of rows or on global random state."""
    draw = rng(3, "table", len(sizes))
    values_NS = draw.normal(0, 1, (sum(sizes), 5))
    values_NS[draw.random(values_NS.shape) < share_missing] = math.nan
    clips = _clips(sizes)
    shuffled = draw.permutation(len(clips))
    got = hierarchical_bootstrap(values_NS, clips=clips)
    again = hierarchical_bootstrap(values_NS[shuffled], clips=[clips[row] for row in shuffled])
    ends = [(found.mean, found.low, found.high) for found in (got, again)]
    assert ends[1] == pytest.approx(ends[0], rel=1e-12)


def test_missing_values_are_left_out():
    """Catches: NaN ends, a missing value counted as zero, a clip counted that has none."""
    values_NS = 2.0 + rng(9, "gaps").normal(0, 1e-3, (sum(SIZES), 3))
    values_NS.ravel()[::7] = math.nan
    values_NS[0] = math.nan
    got = hierarchical_bootstrap(values_NS, clips=_clips())
    assert (got.mean, got.low, got.high) == pytest.approx((2.0, 2.0, 2.0), abs=2e-3)
    assert got.low < got.mean < got.high
    assert (got.num_seeds, got.num_clips) == (3, sum(SIZES) - 1)


def test_one_seed_gives_no_interval():
    """Catches: an interval over clips sold as one over trainings."""
    values_SN = _simulated(rng(2, "one"), seeds=1, seed_sd=0, class_sd=0)
    got = hierarchical_bootstrap(values_SN.T, clips=_clips())
    assert math.isnan(got.low)
    assert math.isnan(got.high)


def test_few_classes_are_taken_as_given():
    """Catches: an interval over two classes, which is too wide to say anything."""
    sizes = (20, 20)
    values_NS = np.concatenate([np.zeros((20, 3)), np.ones((20, 3))])
    values_NS += rng(8, "classes").normal(0, 1e-4, values_NS.shape)
    got = hierarchical_bootstrap(values_NS, clips=_clips(sizes))
    assert not got.classes_drawn
    assert (got.low, got.high) == pytest.approx((0.5, 0.5), abs=1e-3)


def test_a_table_without_values_is_refused():
    """Catches: an interval of nothing."""
    with pytest.raises(ValueError, match="no values"):
        hierarchical_bootstrap(np.full((sum(SIZES), 2), math.nan), clips=_clips())


@pytest.mark.parametrize(
    ("seeds", "seed_sd", "class_sd"), [(6, 0.3, 0.3), (6, 0.1, 0.0), (10, 0.1, 0.3)]
)
def test_coverage_is_near_nominal(seeds, seed_sd, class_sd):
    """Catches: an interval that misses the truth too often, or is too wide to be of use."""
    trials, covered = 250, 0
    for trial in range(trials):
        draw = rng(trial, "coverage", seeds)
        values_SN = _simulated(draw, seeds=seeds, seed_sd=seed_sd, class_sd=class_sd)
        got = hierarchical_bootstrap(values_SN.T, clips=_clips(), num_resamples=400, seed=trial)
        covered += got.low <= 0.0 <= got.high
    # 3 points, and 2.5 standard errors of this small a simulation.
    assert abs(covered / trials - 0.95) <= 0.03 + 2.5 * math.sqrt(0.95 * 0.05 / trials)


def test_a_table_of_equal_values_is_judged_by_signs():
    """Catches: p of 0 and an interval of no width of two noises and five sounds that agree; and a
    sound's spread lost where the noise changes nothing."""
    got = crossed_bootstrap(np.full((2, 5), 0.1))
    assert (got.error, got.p) == (0.0, 0.5)
    assert math.isnan(got.low)
    assert math.isnan(got.high)
    none = crossed_bootstrap(np.zeros((2, 5)))
    assert (none.p, math.isnan(none.low)) == (1.0, True)
    same_noise = crossed_bootstrap(np.tile(rng(1, "sounds").normal(3, 1, 5), (2, 1)))
    assert same_noise.low < same_noise.mean < same_noise.high
