"""Control: learned tokens for each class. What a perfect classifier of sounds could add."""

from core.conditioning.on_demand import variant_on_demand
from variants.class_embedding.config import ClassEmbeddingConfig

CONFIG = ClassEmbeddingConfig
__getattr__ = variant_on_demand(__name__, of="variants.class_embedding.variant:ClassEmbedding")
