"""Cutting-edge branch: a Mamba audio encoder over log-mel patches, and SSF on the UNet."""

from core.conditioning.on_demand import variant_on_demand
from variants.cutting_edge.config import CuttingEdgeConfig

CONFIG = CuttingEdgeConfig
__getattr__ = variant_on_demand(__name__, of="variants.cutting_edge.variant:CuttingEdge")
