"""One item of a user's data: a candidate, a usable pair, or left out with its reason."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from core.errors import DataError


class DataKind(StrEnum):
    """What a data set says of its clips."""

    CLASSES = "classes"  # one class a clip
    LABELS = "labels"  # any number of labels a clip
    CAPTIONS = "captions"  # captions alone


class Status(StrEnum):
    """What became of an item."""

    CANDIDATE = "candidate"  # its files exist; not decoded yet
    INCLUDED = "included"
    EXCLUDED = "excluded"


class Stage(StrEnum):
    """Who excluded an item. What cleaning did not leave out, it does not look at again."""

    INGEST = "ingest"
    CLEAN = "clean"
    HAND = "hand"


class Reason(StrEnum):
    """Why an item of the input is not a sample; the values are stable and machine readable."""

    MISSING_AUDIO = "missing_audio"
    MISSING_IMAGE = "missing_image"
    SEVERAL_FILES = "several_files"
    NOT_LISTED = "not_listed"
    LEFTOVER = "leftover"
    SYSTEM_FILE = "system_file"
    OUTSIDE_ROOT = "outside_root"
    NOT_A_FILE = "not_a_file"
    UNREADABLE = "unreadable"
    UNSUPPORTED_FORMAT = "unsupported_format"
    UNKNOWN_ENDING = "unknown_ending"
    EMPTY_AUDIO = "empty_audio"
    UNDECODABLE_AUDIO = "undecodable_audio"
    TRUNCATED_AUDIO = "truncated_audio"
    NON_FINITE_AUDIO = "non_finite_audio"
    SILENT_AUDIO = "silent_audio"
    CLIPPED_AUDIO = "clipped_audio"
    OUT_OF_RANGE_AUDIO = "out_of_range_audio"
    OUT_OF_PHASE_AUDIO = "out_of_phase_audio"
    SHORT_AUDIO = "short_audio"
    UNDECODABLE_IMAGE = "undecodable_image"
    HUGE_IMAGE = "huge_image"
    SMALL_IMAGE = "small_image"
    UNDECODABLE_VIDEO = "undecodable_video"
    BROKEN_ARCHIVE = "broken_archive"
    UNSAFE_MEMBER = "unsafe_member"
    HUGE_MEMBER = "huge_member"
    NO_LABEL = "no_label"
    NO_CAPTION = "no_caption"
    UNMAPPED_LABEL = "unmapped_label"
    NO_MEDIA = "no_media"
    REPEATED = "repeated"
    BY_HAND = "by_hand"


SELECTION_REASONS = frozenset(
    {Reason.UNMAPPED_LABEL, Reason.NO_LABEL, Reason.NO_CAPTION}
    | {Reason.NO_MEDIA, Reason.REPEATED}
    | {Reason.UNKNOWN_ENDING, Reason.SYSTEM_FILE, Reason.BY_HAND}
)
"""Left out by what was asked for, not by a fault: a list of 200,000 clips of which 600 are on disk
is not a dirty folder, nor is one with a file of features beside each pair. They count as excluded,
but not towards the share that stops a run."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One usable pair of a clip and a picture."""

    id: str
    """Unique in the manifest; no slash, so it can name a file."""
    class_name: str
    """The class. In a split of data without classes: the group of labels or of captions that the
    draw put it in; empty before the draw."""
    caption: str
    """The text prompt of the pair."""
    source: str
    """Group key: samples of one source (one video, or equal content) never part in a split."""
    audio_path: str
    """Posix path relative to the manifest's root."""
    image_path: str
    """Posix path relative to the manifest's root."""
    audio_sha256: str
    """Hash of the audio file's bytes."""
    image_sha256: str
    """Hash of the image file's bytes."""
    duration_s: float
    """Length of the whole clip, seconds."""
    attributes: Mapping[str, float] | None = None
    """What is known of the sound beyond its class; None where nothing is."""
    duplicate_of: str | None = None
    """The first id with the same audio or image bytes; None when the content is unique."""
    source_label: str | None = None
    """The label as it was found, before any map from labels to classes."""
    official_split: str | None = None
    """`train` or `test` where the data set's own list divides it; None elsewhere."""
    labels: tuple[str, ...] = ()
    """Every label of data with several a clip, sorted; empty elsewhere."""
    captions: tuple[str, ...] = ()
    """Every caption of a clip that has several, the prompt first; empty elsewhere."""


@dataclass(frozen=True, slots=True)
class Item:
    """One item of the input. None where something is not known, or not yet.

    A new field with a default is a new column of the table; nothing else has to change.
    """

    id: str
    """Of a pair: unique among all that are not excluded, no slash. Of a loose file: its path."""
    status: Status
    """Candidate, included or excluded."""
    class_name: str | None = None
    """The class to train on; None where the data have several labels a clip or captions alone."""
    caption: str | None = None
    """The text prompt of the pair; a candidate that no list names has none, and is only looked at.
    """
    source: str | None = None
    """The video, or what else the clip was cut from."""
    group: str | None = None
    """Set by cleaning: least source of all items linked by a source or by content."""
    source_label: str | None = None
    """The label as found, before any map from labels to classes."""
    kind: str | None = None
    """Which kind of source it came from, such as `vggsound`."""
    origin: str | None = None
    """Where in the source, for a person: `vggsound.csv row 17`."""
    official_split: str | None = None
    """`train` or `test` where the data set's own list divides it."""
    audio_path: str | None = None
    """Posix path relative to the manifest's root."""
    image_path: str | None = None
    """Posix path relative to the manifest's root."""
    reason: Reason | None = None
    """Why it is excluded; machine readable."""
    detail: str | None = None
    """The same as a sentence a person understands."""
    excluded_by: Stage | None = None
    """Which step excluded it."""
    flags: tuple[str, ...] = ()
    """What cleaning noticed about it without excluding it; machine readable, sorted."""
    duplicate_of: str | None = None
    """The first id with the same audio or image bytes; None when the content is unique."""
    near_duplicate_audio_of: str | None = None
    """The first id whose sound is nearly the same, not byte for byte; None when there is none."""
    near_duplicate_image_of: str | None = None
    """The first id whose picture is nearly the same; None when there is none."""
    duration_s: float | None = None
    """Length of the whole clip, seconds."""
    sample_rate_hz: int | None = None
    """Rate of the audio file."""
    num_channels: int | None = None
    """Channels of the audio file."""
    rms_dbfs: float | None = None
    """Root mean square of the channel mean inside the window; 0 is full scale."""
    peak_dbfs: float | None = None
    """Largest absolute sample of the same; 0 is full scale."""
    clipped_share: float | None = None
    """Share of the window's samples at full scale, 0 to 1."""
    audio_bytes: int | None = None
    """Size of the audio file."""
    image_width: int | None = None
    """Pixels, as stored."""
    image_height: int | None = None
    """Pixels, as stored."""
    image_bytes: int | None = None
    """Size of the image file."""
    audio_sha256: str | None = None
    """Hash of the audio file's bytes."""
    image_sha256: str | None = None
    """Hash of the image file's bytes."""
    attributes: Mapping[str, float] | None = None
    """What is known of the sound beyond its class. In the file: a JSON object."""
    provenance: Mapping[str, Any] | None = None
    """How ingest made or chose the media (frame time, sharpness). In the file: a JSON object."""
    labels: tuple[str, ...] = ()
    """Every label of data with several a clip, sorted; empty elsewhere."""
    captions: tuple[str, ...] = ()
    """Every caption of a clip that has several, the prompt first; empty elsewhere."""

    def __post_init__(self) -> None:
        if self.status is Status.EXCLUDED:
            needed: tuple[str, ...] = ("reason", "detail", "excluded_by")
        else:
            needed = ("source", "audio_path", "image_path")
        if self.status is Status.INCLUDED:
            needed += ("caption", "audio_sha256", "image_sha256", "duration_s")
        missing = [name for name in needed if getattr(self, name) is None]
        if missing:
            raise DataError(f"item {self.id!r} is {self.status.value} without {', '.join(missing)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Its class, or its labels; none where it has captions alone, or nothing lists it."""
        return self.labels or (() if self.class_name is None else (self.class_name,))

    @property
    def is_listed(self) -> bool:
        """Whether anything says what is in it; what nothing lists is only looked at."""
        return self.caption is not None or self.class_name is not None or bool(self.labels)

    def sample(self) -> Sample:
        """The pair of an included item."""
        fields_ = {name: getattr(self, name) for name in _SAMPLE_FIELDS}
        own = {"source": self.group or self.source, "class_name": self.class_name or ""}
        return Sample(**{**fields_, **own})

    def as_ingested(self) -> "Item":
        """The row as ingest wrote it: without what cleaning decided and measured."""
        if self.excluded_by in (Stage.INGEST, Stage.HAND):
            return self
        kept = {name: getattr(self, name) for name in _INGEST_FIELDS}
        return Item(status=Status.CANDIDATE, **kept)


def excluded(
    id_: str, reason: Reason, detail: str, *, by: Stage = Stage.INGEST, **known: Any
) -> Item:
    """An item that is not a sample, with whatever else is `known` of it."""
    return Item(id_, Status.EXCLUDED, reason=reason, detail=detail, excluded_by=by, **known)


_INGEST_FIELDS = (
    *("id", "class_name", "caption", "source", "source_label", "kind", "origin"),
    *("official_split", "audio_path", "image_path", "attributes", "provenance"),
    *("labels", "captions"),
)
_SAMPLE_FIELDS = tuple(entry.name for entry in fields(Sample))
