"""Every altered sound of a probe, each once: the sound as it is belongs to every property."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.probe.alterations import Property, Wave, altered

_AS_IS = "as-is"


@dataclass(frozen=True, order=True)
class Cell:
    """Which sound, and what was done to it."""

    sound: int
    """Its number."""
    altered: str
    """What was altered; `as-is` at every reference level."""
    level: float
    """How far."""

    @property
    def is_as_is(self) -> bool:
        """Whether nothing was done to it."""
        return self.altered == _AS_IS

    @property
    def as_is(self) -> "Cell":
        """The same sound as it is."""
        return Cell(self.sound, _AS_IS, 0.0)

    @property
    def stem(self) -> str:
        """A file name for it."""
        words = f"{self.sound:03d}-{self.altered}"
        return words if self.is_as_is else f"{words}{self.level:+g}"


def cell_of(sound: int, prop: Property, level: float) -> Cell:
    """Where the sound is found that has this level of this property."""
    is_reference = level == prop.reference
    cell = Cell(sound, prop.name, level)
    return cell.as_is if is_reference else cell


def altered_sounds(
    waveforms: Sequence[Wave], *, properties: Sequence[Property]
) -> tuple[dict[Cell, Wave], list[str]]:
    """The altered sounds in order, and a sentence for the levels that had to be left out.

    The second sound that is mixed in is the next one of the list.
    """
    cells: dict[Cell, Wave] = {}
    absent: dict[str, int] = {}
    for sound, waveform_S in enumerate(waveforms):
        second_S = waveforms[(sound + 1) % len(waveforms)]
        for prop in properties:
            for level in prop.levels:
                cell = cell_of(sound, prop, level)
                if cell in cells:
                    continue
                changed_S = altered(waveform_S, by=prop, level=level, second_S=second_S)
                if changed_S is None:
                    absent[prop.name] = absent.get(prop.name, 0) + 1
                else:
                    cells[cell] = changed_S
    notices = [
        f"{name}: {count} levels of sounds would pass full scale and are left out"
        for name, count in absent.items()
    ]
    return cells, notices
