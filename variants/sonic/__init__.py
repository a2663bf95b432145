"""Sonic branch: gated audio cross-attention of its own, after SonicDiffusion."""

from variants.sonic.variant import Sonic

VARIANT = Sonic
