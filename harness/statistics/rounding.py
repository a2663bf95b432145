"""What is a spread of values, and what is the rounding of equal ones. float64."""

RELATIVE_ROUNDING = 1e-12
"""Two sums of the same numbers in another order differ by less, relative to the numbers."""


_OF_A_SCORE = 2.0**-23
"""Scorers compute in float32: scores that differ by less, relative to them, are equal."""


def is_rounding(sd: float, *, scale: float) -> bool:
    """Whether values of this size vary by no more than their rounding: they are equal."""
    return sd <= _OF_A_SCORE * scale


def no_less_than_rounding(square: float, *, scale: float, cells: int = 1) -> float:
    """A mean square over means of `cells` values each; 0 where it is rounding alone."""
    return 0.0 if square <= cells * (_OF_A_SCORE * scale) ** 2 else square
