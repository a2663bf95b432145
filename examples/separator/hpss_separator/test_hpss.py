"""What the separator promises, on sounds whose parts are known."""

import numpy as np
from numpy.typing import NDArray

from hpss_separator import SEPARATOR
from hpss_separator.hpss import separate

RATE_HZ = 48_000
TIMES_S = np.arange(2 * RATE_HZ) / RATE_HZ
TONE = (0.2 * np.sin(2 * np.pi * 440 * TIMES_S)).astype(np.float32)
CLICKS = np.zeros_like(TONE)
CLICKS[RATE_HZ // 4 :: RATE_HZ // 2] = 0.9


def share(part_S: NDArray[np.float32], of_S: NDArray[np.float32]) -> float:
    """How much of the energy of `of_S` the part holds, by projection."""
    return float((part_S @ of_S) ** 2 / (of_S @ of_S) ** 2)


def test_a_tone_and_clicks_are_told_apart() -> None:
    """Catches: sources in another order, masks swapped, or the clip returned three times."""
    harmonic_S, percussive_S, _ = separate(TONE + CLICKS)
    assert share(harmonic_S, TONE) > 0.95
    assert share(percussive_S, CLICKS) > 0.8
    assert share(percussive_S, TONE) < 0.01
    assert share(harmonic_S, CLICKS) < 0.01


def test_sources_are_as_many_and_as_long_as_declared_and_add_up() -> None:
    """Catches: sources cut or padded by the transform, and sound lost between the masks."""
    noise = np.random.default_rng(0).normal(0, 0.1, 30_001).astype(np.float32)
    for clip_S in (noise, noise[:100], np.zeros(5_000, np.float32)):
        sources_PS = SEPARATOR.separate(clip_S)
        assert sources_PS.shape == (SEPARATOR.num_sources, len(clip_S))
        assert sources_PS.dtype == np.float32
        np.testing.assert_allclose(sources_PS.sum(axis=0), clip_S, atol=1e-6)
