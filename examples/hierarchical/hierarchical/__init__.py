"""Hierarchical branch: CLAP's tokens, routed to foreground, background and ambience."""

from core.conditioning.on_demand import variant_on_demand
from hierarchical.config import HierarchicalConfig

CONFIG = HierarchicalConfig
__getattr__ = variant_on_demand(__name__, of="hierarchical.variant:Hierarchical")
