"""What a comparison may say, and the numbers of seeds it takes. Light: records read it."""

from enum import StrEnum

MIN_SEEDS_FOR_A_WIN = 6
"""The exact sign-flip test cannot reach .05 with fewer."""
MAX_SEEDS = 40
"""Of one comparison: the exact sign-flip test sums two halves of 2^20 patterns, tens of MB."""


class Outcome(StrEnum):
    """What may be said about a pair."""

    WIN = "win"
    TIE = "tie"
    UNDECIDED = "undecided"


class Strength(StrEnum):
    """How much weight the outcome bears."""

    CONFIRMED = "confirmed"
    EXPLORATORY = "exploratory"
