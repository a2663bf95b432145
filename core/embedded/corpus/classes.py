"""The eight classes, their counts and captions, and the attributes a clip and its picture share."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

CLASS_COUNTS: dict[str, int] = {
    "engine": 100,
    "fire": 100,
    "rain": 100,
    "siren": 100,
    "thunder": 99,
    "helicopter": 94,
    "dog_barking": 44,
    "ocean_waves": 27,
}
"""The user's balanced set: 664 pairs."""

CLASSES: tuple[str, ...] = tuple(CLASS_COUNTS)


@dataclass(frozen=True)
class Attributes:
    """What a clip and its picture share beyond their class; each in [0, 1], independent."""

    pitch: float
    """Centre frequency of the sound; hue of the subject, 0 to 300 degrees."""
    intensity: float
    """Loudness, -30 to -10 dBFS over the whole clip; size of the subject."""
    hiss: float
    """Level of the noise above 9 kHz; brightness of the sky, night to day."""
    onset: float
    """Time of the energy peak, 0.35 to 2.65 s; horizontal position of the subject."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"attribute {name} is {value}; expected a number in [0, 1]")

    @classmethod
    def draw(cls, rng: "np.random.Generator") -> "Attributes":
        """Four independent uniform attributes."""
        return cls(*(float(value) for value in rng.random(4)))

    def as_array(self) -> "np.ndarray":
        """float32 [4] in the order of `ATTRIBUTES`."""
        import numpy as np

        return np.array([getattr(self, name) for name in ATTRIBUTES], dtype=np.float32)


ATTRIBUTES: tuple[str, ...] = ("pitch", "intensity", "hiss", "onset")


def caption(cls: str) -> str:
    """The user's caption of a class; it names nothing but the class."""
    return f"A scene with {cls.replace('_', ' ')} sound"


def require_class(cls: str) -> None:
    """Raises: ValueError when `cls` is not one of `CLASSES`."""
    if cls not in CLASS_COUNTS:
        raise ValueError(f"no class named {cls!r}; known: {', '.join(sorted(CLASSES))}")
