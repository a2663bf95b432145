"""Weights, sounds and pictures drawn by name alone, equal in every environment.

Needs numpy: both the harness's environment and the packages' import this file.
"""

import zlib
from collections.abc import Mapping

import numpy as np

GAIN = 1.4
"""Deviation of a weight times the root of its fan-in: near what keeps a ReLU network's scale."""


def generator(name: str) -> np.random.Generator:
    """A stream of its own for each name."""
    return np.random.Generator(np.random.Philox(key=zlib.crc32(name.encode())))


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """float32 values of a weight of that name and shape."""
    draw = generator(name)
    if name.endswith("running_var"):
        return draw.uniform(0.5, 1.5, shape).astype(np.float32)
    values = np.asarray(draw.standard_normal(shape, dtype=np.float32))
    if name.endswith("relative_position_bias_table"):
        return np.float32(0.2) * values
    if len(shape) > 1:
        return values * np.float32(GAIN / np.sqrt(np.prod(shape[1:])))
    return np.asarray(values * 0.1 + float(name.endswith("weight")), dtype=np.float32)


def weights(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Each weight by name."""
    return {name: weight(name, tuple(shape)) for name, shape in shapes.items()}


def sound(name: str, *, duration_s: float, rate_hz: int) -> np.ndarray:
    """float32 [T]: two gliding tones in noise that swells, peak below 0.9."""
    draw = generator(name)
    t = np.arange(round(duration_s * rate_hz)) / rate_hz
    low, high = draw.uniform(80, 400), draw.uniform(800, 3_000)
    tones = np.sin(2 * np.pi * low * t) + 0.6 * np.sin(2 * np.pi * (high + 40 * t) * t)
    swell = 0.1 + np.square(np.sin(np.pi * t / duration_s * draw.uniform(1, 4)))
    mixed = 0.3 * tones + 0.2 * swell * draw.standard_normal(len(t))
    return (0.85 * mixed / np.abs(mixed).max()).astype(np.float32)


def picture(name: str, *, size: int) -> np.ndarray:
    """uint8 [size, size, 3]: coloured waves in noise."""
    draw = generator(name)
    y, x = np.mgrid[0:size, 0:size] / size
    channels = [
        np.sin(2 * np.pi * (draw.uniform(0, 5) * x + draw.uniform(0, 5) * y + draw.uniform()))
        for _ in range(3)
    ]
    waves = np.stack(channels, axis=-1) * 90 + 128
    return (waves + draw.normal(0, 12, waves.shape)).clip(0, 255).astype(np.uint8)
