"""The arms a run samples its test clips in, and one image of one arm.

All arms of a clip start from the same noise, so their scores pair clip by clip.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from core.data.ingest.data_kind import made_caption
from core.data.items import DataKind


class Arm(StrEnum):
    """What the model was given for a clip."""

    AUDIO = "audio"  # the clip's own sound
    SHUFFLED = "shuffled"  # another test clip's sound: of the same class, or of the nearest caption
    CHANCE = "chance"  # another test clip's sound, by lot among all; of data without classes
    SILENCE = "silence"  # a clip of digital silence
    TEXT_ONLY = "text_only"  # the caption alone; the variant's audio is absent


REAL = "real"
"""Name of the reference rows: the clip's own photograph scored like a generated image, and for
distribution metrics real against real. It says what the scorers can give at best."""

CONTROL_ARMS = (Arm.SHUFFLED, Arm.CHANCE, Arm.SILENCE, Arm.TEXT_ONLY)
"""The arms that the own sound is compared with."""


@dataclass(frozen=True, kw_only=True)
class GeneratedImage:
    """One PNG of a run."""

    sample_id: str
    """The test clip it was made for, with which every score compares it, whatever it was given."""
    arm: Arm
    """What the model was given."""
    draw: int
    """Index of the initial noise, 0 up; the same in every arm and branch."""
    path: Path
    """The PNG that is scored."""
    heard_id: str | None = None
    """The clip whose sound was given; None in the silent and the text-only arm."""


@dataclass(frozen=True, kw_only=True)
class ScoredClip:
    """What is known of a test clip."""

    sample_id: str
    """Unique within the split."""
    class_name: str
    """Class of the clip; without classes, its group of labels or of captions."""
    caption: str
    """The caption that the image was generated with."""
    image: Path | None = None
    """The clip's real picture; None when the split has none for it."""
    attributes: Mapping[str, float] | None = None
    """True attributes in [0, 1] that the sound carries, by name; None when not known."""
    labels: tuple[str, ...] = ()
    """Its labels, of data with several labels a clip."""


def common_captions(
    clips: Sequence[ScoredClip], *, kind: DataKind = DataKind.CLASSES
) -> dict[str, str]:
    """The most frequent caption of each class (the first in alphabet where several are).

    Of labels the caption that is made of each; captions alone have no classes to choose among.
    """
    if kind is DataKind.LABELS:
        names = sorted({label for clip in clips for label in clip.labels})
        return {name: made_caption([name]) for name in names}
    if kind is DataKind.CAPTIONS:
        return {}
    by_class: dict[str, list[str]] = {}
    for clip in clips:
        by_class.setdefault(clip.class_name, []).append(clip.caption)
    return {
        name: min(set(captions), key=lambda caption: (-captions.count(caption), caption))
        for name, captions in sorted(by_class.items())
    }


def headline_of(arms: Iterable[str]) -> str:
    """The arm that a run's own numbers come from: the own sound's, or the only one there is."""
    present = set(arms)
    return next(arm for arm in (*(str(arm) for arm in Arm), REAL) if arm in present)
