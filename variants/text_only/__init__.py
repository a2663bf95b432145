"""Control: the caption alone. What a branch adds is measured from here."""

from variants.text_only.variant import TextOnly

VARIANT = TextOnly
