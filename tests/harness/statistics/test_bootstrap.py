"""The bootstrap over seeds, classes and clips: by hand, and its coverage in simulation."""

import math

import numpy as np
import pandas as pd
import pytest

from core.randomness import rng
from harness.statistics.bootstrap import bootstrap_of_clips, hierarchical_bootstrap
from harness.statistics.paired import paired_difference

SIZES = (10, 10, 10, 10, 10, 9, 4, 3)


def _table(values_SN: np.ndarray, sizes=SIZES) -> pd.DataFrame:
    clips = [(f"class{k}", f"clip{k}-{i}") for k, size in enumerate(sizes) for i in range(size)]
    return pd.DataFrame(
        [
            {"seed": seed, "class_name": name, "sample_id": clip, "value": values_SN[seed, column]}
            for seed in range(len(values_SN))
            for column, (name, clip) in enumerate(clips)
        ]
    )


def _simulated(draw, *, seeds, seed_sd, class_sd, clip_sd=1.0, noise_sd=1.0) -> np.ndarray:
    of_class = np.repeat(draw.normal(0, class_sd, len(SIZES)), SIZES)
    clips = sum(SIZES)
    return (
        draw.normal(0, seed_sd, (seeds, 1))
        + of_class
        + draw.normal(0, clip_sd, clips)
        + draw.normal(0, noise_sd, (seeds, clips))
    )


def test_identical_values_have_an_interval_of_no_width():
    """Catches: resampling that changes the weight of a value."""
    got = hierarchical_bootstrap(_table(np.full((3, sum(SIZES)), 0.25)))
    assert (got.mean, got.low, got.high) == pytest.approx((0.25, 0.25, 0.25))
    assert (got.num_seeds, got.num_classes, got.num_clips) == (3, 8, 66)


def test_with_variation_between_seeds_alone_it_is_close_to_the_t_interval():
    """Catches: too narrow an interval from few seeds, the bootstrap's known fault."""
    seeds = rng(0, "seeds").normal(0, 1, 6)
    got = hierarchical_bootstrap(_table(np.repeat(seeds[:, None], sum(SIZES), axis=1)))
    reference = paired_difference(seeds, second=np.zeros(6))
    width = (got.high - got.low) / (reference.high - reference.low)
    assert width == pytest.approx(1.0, abs=0.1)


def test_the_same_table_in_another_order_gives_the_same_interval():
    """Catches: an interval that depends on the order of rows or on global random state."""
    table = _table(_simulated(rng(1, "order"), seeds=3, seed_sd=0.3, class_sd=0.3))
    shuffled = table.sample(frac=1.0, random_state=1)
    assert hierarchical_bootstrap(table) == hierarchical_bootstrap(shuffled)


def test_missing_values_are_left_out():
    """Catches: NaN ends, or a missing value counted as zero."""
    table = _table(np.full((3, sum(SIZES)), 2.0))
    table.loc[::7, "value"] = math.nan
    got = hierarchical_bootstrap(table)
    assert (got.mean, got.low, got.high) == pytest.approx((2.0, 2.0, 2.0))


@pytest.mark.parametrize("sizes", [SIZES, (20, 20), (1, 1, 1), (7,)])
@pytest.mark.parametrize("share_missing", [0.0, 0.2])
def test_a_table_and_its_rows_give_the_same_interval_to_the_bit(sizes, share_missing):
    """Catches: clips in another order than their rows', or a mean that is added up otherwise."""
    draw = rng(3, "table", len(sizes))
    values_SN = draw.normal(0, 1, (5, sum(sizes)))
    values_SN[draw.random(values_SN.shape) < share_missing] = math.nan
    values_SN[:, 0] = math.nan if share_missing else values_SN[:, 0]  # a clip without any value
    rows = _table(values_SN, sizes)
    wide = rows.pivot(index=["sample_id", "class_name"], columns="seed", values="value")
    wide = wide.sample(frac=1.0, random_state=2)  # as tables come: in the order of a file
    got = bootstrap_of_clips(wide.to_numpy(), clips=[(name, clip) for clip, name in wide.index])
    stacked = wide.stack().rename("value").reset_index()
    expected = hierarchical_bootstrap(stacked)
    assert repr(got) == repr(expected)  # NaN equals itself so
    assert got.num_clips == sum(sizes) - bool(share_missing)


def test_one_seed_gives_no_interval():
    """Catches: an interval over clips sold as one over trainings."""
    got = hierarchical_bootstrap(_table(_simulated(rng(2, "one"), seeds=1, seed_sd=0, class_sd=0)))
    assert math.isnan(got.low)
    assert math.isnan(got.high)


def test_few_classes_are_taken_as_given():
    """Catches: an interval over two classes, which is too wide to say anything."""
    sizes = (20, 20)
    values = np.concatenate([np.zeros((3, 20)), np.ones((3, 20))], axis=1)
    got = hierarchical_bootstrap(_table(values, sizes))
    assert not got.classes_drawn
    assert (got.low, got.high) == pytest.approx((0.5, 0.5))


def test_tables_that_cannot_be_resampled_are_refused():
    """Catches: draws passed as clips, an empty table, a forgotten column."""
    table = _table(np.ones((2, sum(SIZES))))
    with pytest.raises(ValueError, match="two values"):
        hierarchical_bootstrap(pd.concat([table, table]))
    with pytest.raises(ValueError, match="no values"):
        hierarchical_bootstrap(table.assign(value=math.nan))
    with pytest.raises(ValueError, match="class_name"):
        hierarchical_bootstrap(table.drop(columns="class_name"))


@pytest.mark.parametrize(
    ("seeds", "seed_sd", "class_sd"), [(6, 0.3, 0.3), (6, 0.1, 0.0), (10, 0.1, 0.3)]
)
def test_coverage_is_near_nominal(seeds, seed_sd, class_sd):
    """Catches: an interval that misses the truth too often, or is too wide to be of use."""
    trials, covered = 250, 0
    for trial in range(trials):
        draw = rng(trial, "coverage", seeds)
        table = _table(_simulated(draw, seeds=seeds, seed_sd=seed_sd, class_sd=class_sd))
        got = hierarchical_bootstrap(table, num_resamples=400, seed=trial)
        covered += got.low <= 0.0 <= got.high
    # 3 points, and 2.5 standard errors of this small a simulation.
    assert abs(covered / trials - 0.95) <= 0.03 + 2.5 * math.sqrt(0.95 * 0.05 / trials)
