"""A look at what is being trained, which leaves no trace in it."""

from abc import ABC, abstractmethod


class Preview(ABC):
    """Generates something from the model between two steps.

    The loop seeds and sets the model's mode anew at each step, so that a look needs to put back
    torch's random state alone.
    """

    @abstractmethod
    def is_due(self, global_step: int) -> bool:
        """Whether to look after so many optimiser steps of the whole schedule."""

    @abstractmethod
    def show(self, global_step: int) -> None:
        """Look. It draws no random number but its own, and trains nothing."""
