"""Slopes and monotonicity of planted responses."""

import numpy as np
import pytest

from core.randomness import rng
from harness.probe.responses import follow
from harness.statistics.bootstrap import crossed_bootstrap

LEVELS = (-2.0, -1.0, 0.0, 1.0, 2.0)


def planted(slope: float, *, seed: int = 0, draws: int = 3, sounds: int = 8) -> np.ndarray:
    """[D, N, L]: sounds of different height and steepness, noise of 0.05."""
    draw = rng(seed, "planted")
    height_N = draw.normal(0, 1, sounds)
    steep_N = slope + draw.normal(0, 0.02, sounds)
    noise_DNL = draw.normal(0, 0.05, (draws, sounds, len(LEVELS)))
    return height_N[:, None] + steep_N[:, None] * np.array(LEVELS) + noise_DNL


def test_a_planted_slope_is_found_whatever_the_height_of_the_sounds() -> None:
    """Catches: a slope over pooled sounds, whose own heights hide it."""
    found = follow(planted(0.1), levels=LEVELS)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.1 < found.high
    assert found.high - found.low < 0.08
    assert found.monotonicity > 0.8
    assert found.p is not None
    assert found.p < 1e-3


def test_a_level_that_is_absent_leaves_the_others() -> None:
    """Catches: NaN that spreads, or a sound with two levels that counts as a slope."""
    values = planted(0.1)
    values[:, 0, 4] = np.nan
    values[:, 1, 1:4] = np.nan
    found = follow(values, levels=LEVELS)
    assert found is not None
    assert found.slope == pytest.approx(0.1, abs=0.03)
    values[:, :, 2:] = np.nan
    assert follow(values, levels=LEVELS) is None


def test_a_distance_is_taken_from_the_reference() -> None:
    """Catches: a change to both sides that comes out as no slope."""
    values = np.abs(np.array(LEVELS)) * 0.2 + np.zeros((2, 4, 1))
    found = follow(values, levels=LEVELS, from_reference=0.0)
    assert found is not None
    assert found.slope == pytest.approx(0.2)


@pytest.mark.parametrize("shape", [(1, 8), (3, 8)])
def test_no_response_is_rarely_called_one(shape: tuple[int, int]) -> None:
    """Catches: intervals that forget that sounds, or noises, are samples."""
    hits = 0
    for seed in range(200):
        draw = rng(seed, "null")
        sounds = draw.normal(0, 1, shape[1])
        table = (
            draw.normal(0, 1, (shape[0], 1)) * (shape[0] > 1) + sounds + draw.normal(0, 1, shape)
        )
        hits += crossed_bootstrap(table, num_resamples=400).p < 0.05
    assert hits <= 20  # 5 % of 200 and three standard errors


def test_one_sound_at_one_noise_has_no_interval() -> None:
    """Catches: an interval of nothing."""
    found = follow(planted(0.1, draws=1, sounds=1), levels=LEVELS)
    assert found is not None
    assert found.low is None
    assert found.p is None
