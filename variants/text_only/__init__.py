"""Control: the caption alone. What a branch adds is measured from here."""

from core.conditioning.on_demand import variant_on_demand
from variants.text_only.config import TextOnlyConfig

CONFIG = TextOnlyConfig
__getattr__ = variant_on_demand(__name__, of="variants.text_only.variant:TextOnly")
