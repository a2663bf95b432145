"""Sonic branch: gated audio cross-attention of its own, after SonicDiffusion."""

from core.conditioning.on_demand import variant_on_demand
from variants.sonic.config import SonicConfig

CONFIG = SonicConfig
__getattr__ = variant_on_demand(__name__, of="variants.sonic.variant:Sonic")
