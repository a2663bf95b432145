"""The table: a row per claim, whether it holds, as text and as JSON."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Row:
    """One claim of speed or memory, and what was measured of it."""

    name: str
    """What is compared, with sizes."""
    found: float
    """The measured number."""
    unit: str
    """Of `found` and `goal`: `x` for a ratio, `s`, `dB`."""
    goal: float | None = None
    """Where it should lie; None where no goal was set."""
    is_floor: bool = True
    """Whether `found` should be at least the goal; False: at most."""
    spread: tuple[float, float] | None = None
    """Least and most over the pairs."""
    about: str = ""
    """In how many words the two sides are told apart."""
    numbers: dict[str, Any] = field(default_factory=dict)
    """Everything behind it."""

    @property
    def is_met(self) -> bool | None:
        """None where there is no goal."""
        if self.goal is None:
            return None
        return self.found >= self.goal if self.is_floor else self.found <= self.goal

    def words(self) -> tuple[str, str, str, str]:
        """Cells of a table."""
        low_high = "" if self.spread is None else " to ".join(map(_short, self.spread))
        spread = f" ({low_high})" if low_high else ""
        goal = ""
        if self.goal is not None:
            goal = f"{'>=' if self.is_floor else '<='} {_short(self.goal)} {self.unit}"
        verdict = {None: "", True: "met", False: "MISSED"}[self.is_met]
        return self.name, f"{_short(self.found)} {self.unit}{spread}", goal, verdict

    @classmethod
    def of(cls, stored: dict[str, Any]) -> "Row":
        """The row that `stored` was."""
        fields = {name: value for name, value in stored.items() if name != "is_met"}
        return cls(**fields)

    def stored(self) -> dict[str, Any]:
        """For the results file."""
        return {**asdict(self), "is_met": self.is_met}


def _short(number: float) -> str:
    if number and abs(number) < 0.01:
        return f"{number:.1e}"
    return f"{number:.3g}" if abs(number) < 100 else f"{number:,.0f}"


def as_text(rows: list[Row]) -> str:
    """All rows in columns."""
    cells = [("", "found", "goal", ""), *(row.words() for row in rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(4)]
    lines = [
        "  ".join(cell.ljust(widths[k]) for k, cell in enumerate(row)).rstrip() for row in cells
    ]
    return "\n".join(lines)
