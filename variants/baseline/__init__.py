"""Baseline branch: an adapter turns the pooled CLAP embedding into tokens beside the text."""

from core.conditioning.on_demand import variant_on_demand
from variants.baseline.config import BaselineConfig

CONFIG = BaselineConfig
__getattr__ = variant_on_demand(__name__, of="variants.baseline.variant:Baseline")
