"""What a variant's own loss terms are there for, so that a wrong sign is found."""

from dataclasses import dataclass
from enum import StrEnum

from torch import Tensor


class Pull(StrEnum):
    """Which way a term moves a quantity."""

    RAISE = "raise"
    LOWER = "lower"


@dataclass(frozen=True)
class Goal:
    """A quantity that a term of the loss is to raise or to lower."""

    quantity: Tensor
    """Scalar, with its gradient: the plain quantity, without the term's weight and sign."""
    pull: Pull
    """Which way the term is to move it."""
