"""Filters of the mel scale, in numpy: pages draw spectrograms by them without torch."""

import math
from functools import lru_cache

import numpy as np


@lru_cache(maxsize=4)
def mel_filters(
    num_bands: int, fft_size: int, sample_rate_hz: int, lowest_hz: float, highest_hz: float
) -> np.ndarray:
    """float32 [bands, fft_size / 2 + 1]: triangles even on the mel scale, each of unit area.

    The scale is O'Shaughnessy's 1987: 2595 log10(1 + f / 700).
    """
    low_mel, high_mel = (2595.0 * math.log10(1.0 + hz / 700.0) for hz in (lowest_hz, highest_hz))
    corners_hz = 700.0 * (10.0 ** (np.linspace(low_mel, high_mel, num_bands + 2) / 2595.0) - 1.0)
    frequency_hz = np.linspace(0.0, sample_rate_hz / 2, fft_size // 2 + 1)
    low, mid, high = (corners_hz[k : k + num_bands, None] for k in range(3))
    rising, falling = (frequency_hz - low) / (mid - low), (high - frequency_hz) / (high - mid)
    weights = np.maximum(0.0, np.minimum(rising, falling))
    # A band narrower than one bin would be empty: it takes its nearest bin.
    empty = weights.sum(axis=1) == 0
    nearest = np.abs(frequency_hz[None] - mid).argmin(axis=1)
    weights[empty, nearest[empty]] = 1.0
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
