"""IP-Adapter-like branch: decoupled cross-attention to CLAP's sequence."""

from core.conditioning.on_demand import variant_on_demand
from ip_adapter.config import IpAdapterConfig

CONFIG = IpAdapterConfig
__getattr__ = variant_on_demand(__name__, of="ip_adapter.variant:IpAdapter")
