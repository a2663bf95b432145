"""What cleaning remarks on without leaving a pair out: flags, their rules and their sentences."""

from enum import StrEnum

from core.data.items import Item
from core.data.media.decode_audio import AudioFacts
from core.data.media.decode_image import ImageFacts

NEAR_SILENT_DBFS = -60.0
"""Root mean square below which a clip is hardly heard; 16-bit dither lies near -96."""
CLIPPED_SHARE = 0.01
"""Share of samples at full scale from which on a clip is flagged; from 0.1 on it is excluded."""
CANCELLED_DB = 20.0
"""How far the mean of the channels may lie below them; unlike channels lose 3 dB."""
FLAT_LUMA_SPREAD = 4.0
"""Standard deviation of the luma (0 to 255) below which a picture shows next to nothing."""


class Flag(StrEnum):
    """A remark on an included pair; the values are stable and machine readable."""

    NEAR_SILENT = "near_silent"
    CLIPPED = "clipped"
    OUT_OF_PHASE = "out_of_phase"
    FLAT_IMAGE = "flat_image"
    NO_END_MARKER = "no_end_marker"
    NEAR_DUPLICATE_AUDIO = "near_duplicate_audio"
    NEAR_DUPLICATE_IMAGE = "near_duplicate_image"


MEANINGS = {
    Flag.NEAR_SILENT: f"the sound's level is below {NEAR_SILENT_DBFS:g} dBFS (root mean square)",
    Flag.CLIPPED: f"more than {CLIPPED_SHARE:.0%} of the sound's samples are at full scale",
    Flag.OUT_OF_PHASE: f"the channels cancel: their mean is {CANCELLED_DB:g} dB or more below them",
    Flag.FLAT_IMAGE: "the picture is nearly one shade, like a black frame",
    Flag.NO_END_MARKER: "the jpg lacks the two bytes that mark its end, and no pixel; it is read "
    "as if they were there, and other programs may refuse it",
    Flag.NEAR_DUPLICATE_AUDIO: "the sound is nearly that of another pair, as a re-coded copy is",
    Flag.NEAR_DUPLICATE_IMAGE: "the picture looks like another pair's",
}


def audio_flags(facts: AudioFacts) -> tuple[Flag, ...]:
    """Flags of one decoded sound."""
    flags = []
    if facts.rms_dbfs < NEAR_SILENT_DBFS:
        flags.append(Flag.NEAR_SILENT)
    if facts.clipped_share > CLIPPED_SHARE:
        flags.append(Flag.CLIPPED)
    if facts.cancelled_db >= CANCELLED_DB:
        flags.append(Flag.OUT_OF_PHASE)
    return tuple(flags)


def is_flat(facts: ImageFacts) -> bool:
    """Whether the picture shows next to nothing."""
    return facts.luma_spread < FLAT_LUMA_SPREAD


def image_flags(facts: ImageFacts) -> tuple[Flag, ...]:
    """Flags of one decoded picture."""
    flags = []
    if is_flat(facts):
        flags.append(Flag.FLAT_IMAGE)
    if facts.lacks_end_marker:
        flags.append(Flag.NO_END_MARKER)
    return tuple(flags)


def flag_sentence(item: Item, flag: Flag) -> str:
    """What the flag says of this item, with its number."""
    if flag is Flag.NEAR_SILENT:
        return f"the sound's level is {item.rms_dbfs:.0f} dBFS, below {NEAR_SILENT_DBFS:g}"
    if flag is Flag.CLIPPED:
        return f"{item.clipped_share:.1%} of the sound's samples are at full scale"
    if flag is Flag.NEAR_DUPLICATE_AUDIO:
        return f"the sound is nearly that of {item.near_duplicate_audio_of!r}"
    if flag is Flag.NEAR_DUPLICATE_IMAGE:
        return f"the picture looks like that of {item.near_duplicate_image_of!r}"
    return MEANINGS[flag]
