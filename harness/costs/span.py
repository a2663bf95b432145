"""A quantity that is known only roughly: what is expected, and between what it should lie."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """Seconds, dollars or the like; `low <= mid <= high`."""

    low: float
    mid: float
    high: float

    @classmethod
    def about(cls, mid: float, *, factor: float = 1.0) -> "Span":
        """Known to within a factor of at least 1."""
        return cls(mid / factor, mid, mid * factor)

    @classmethod
    def between(cls, first: float, second: float, *, factor: float = 1.0) -> "Span":
        """Between two bounds in either order, their geometric mean expected; wider by a factor."""
        low, high = sorted((first, second))
        return cls(low / factor, math.sqrt(low * high), high * factor)

    def __add__(self, other: "Span") -> "Span":
        # Ends are added: what makes one phase slower makes the others slower too.
        return Span(self.low + other.low, self.mid + other.mid, self.high + other.high)

    def times(self, factor: float) -> "Span":
        """All three multiplied."""
        return Span(self.low * factor, self.mid * factor, self.high * factor)

    def data(self) -> dict[str, float]:
        """For scripts."""
        return {"low": self.low, "mid": self.mid, "high": self.high}


NOTHING = Span(0.0, 0.0, 0.0)
