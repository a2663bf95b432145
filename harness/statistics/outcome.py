"""What a comparison may say, and the numbers of seeds it takes. Light: records read it."""

from enum import StrEnum

ALPHA = 0.05
"""Level of every test."""
MIN_SEEDS_FOR_A_WIN = 6
"""The exact sign-flip test cannot reach .05 with fewer."""
MIN_LISTENERS = 3
"""Fewest listeners from which one may speak of others: the bias of a single one is not a sample."""
MAX_SEEDS = 40
"""Of one comparison: the exact sign-flip test sums two halves of 2^20 patterns, tens of MB."""


class Outcome(StrEnum):
    """What may be said about a pair."""

    WIN = "win"
    TIE = "tie"
    UNDECIDED = "undecided"


class Strength(StrEnum):
    """How much weight the outcome bears."""

    CONFIRMED = "confirmed"  # for other trainings and other clips
    THESE_CLIPS = "these_clips"  # for other trainings, on the clips at hand alone
    EXPLORATORY = "exploratory"  # too few seeds, or a look that nobody planned
    NONE = "none"  # enough seeds, and nothing is established


class Population(StrEnum):
    """What a claim speaks of; each holds the one before."""

    THESE_CLIPS = "these_clips"  # other trainings, on the clips at hand
    CLIPS = "clips"  # other trainings and other clips of these classes
    CLASSES = "classes"  # other trainings, clips and classes


class Speaks(StrEnum):
    """Of which training a claim speaks."""

    TYPICAL = "typical"  # of the usual one; rare collapses are not weighed
    MEAN = "mean"  # of the mean over all that do not collapse
