"""Control: learned tokens for each class. What a perfect classifier of sounds could add."""

from variants.class_embedding.variant import ClassEmbedding

VARIANT = ClassEmbedding
