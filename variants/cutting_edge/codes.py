"""Codes of a token's place, as large as the token: what lets attention tell early from late.

Shape legend: F bands, P steps in time, C width.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

SHORTEST_STEPS = 4.0
"""Shortest wavelength: neighbours differ by a quarter of it."""
LONGEST_AXES = 4.0
"""Longest wavelength in lengths of the axis: within a quarter of it no value comes twice."""


def axis_codes(length: int, *, width: int) -> Tensor:
    """[length, width] of mean square 1: sines, then cosines (Vaswani et al. 2017, section 3.5).

    Theirs are for sequences of any length, up to a wavelength of 63,000 steps; of 32 steps more
    than half of the numbers would hardly differ, so these end with the axis.
    """
    half = width // 2
    octaves = torch.linspace(0.0, 1.0, half) * math.log2(
        max(1.0, LONGEST_AXES * length / SHORTEST_STEPS)
    )
    angles = 2 * math.pi * torch.arange(length)[:, None] / (SHORTEST_STEPS * 2**octaves)
    codes = math.sqrt(2.0) * torch.cat([angles.sin(), angles.cos()], dim=1)
    return functional.pad(codes, (0, width - 2 * half))


def place_codes(num_bands: int, num_steps: int, *, width: int) -> Tensor:
    """[F * P, C] for frequency-major tokens; with several bands each axis has half the width."""
    if num_bands == 1:
        return axis_codes(num_steps, width=width)
    bands_FC = axis_codes(num_bands, width=width // 2)
    steps_PC = axis_codes(num_steps, width=width - width // 2)
    return torch.cat(
        [bands_FC.repeat_interleave(num_steps, dim=0), steps_PC.repeat(num_bands, 1)], dim=1
    )
