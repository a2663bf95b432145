"""What was found in a user's data: one row an item, kept or excluded with its reason.
`harness data ingest` writes the rows as candidates, `harness data clean` decides each of them.
Nothing ever leaves the table: candidates + included + excluded = input.
"""

import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from core.errors import DataError
from core.files import write_atomic

MANIFEST_FILE = "manifest.parquet"
FORMAT = 3
_HEADER_KEY = b"harness_manifest"
_CHECKSUM_KEY = b"harness_checksum"
_AGAIN = "take it away and ingest the data again (what was decoded is remembered)"


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
    UNMAPPED_LABEL = "unmapped_label"
    NO_MEDIA = "no_media"
    REPEATED = "repeated"
    BY_HAND = "by_hand"


SELECTION_REASONS = frozenset(
    {Reason.UNMAPPED_LABEL, Reason.NO_LABEL, Reason.NO_MEDIA, Reason.REPEATED}
    | {Reason.UNKNOWN_ENDING, Reason.BY_HAND}
)
"""Left out by what was asked for, not by a fault: a list of 200,000 clips of which 600 are on disk
is not a dirty folder, nor is one with a file of features beside each pair. They count as excluded,
but not towards the share that stops a run."""


@dataclass(frozen=True)
class Sample:
    """One usable pair of a clip and a picture."""

    id: str
    """Unique in the manifest; no slash, so it can name a file."""
    class_name: str
    """The label."""
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
    """The class to train on. A candidate that no list names has none and is only looked at."""
    caption: str | None = None
    """The text prompt of the pair."""
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

    def __post_init__(self) -> None:
        if self.status is Status.EXCLUDED:
            needed: tuple[str, ...] = ("reason", "detail", "excluded_by")
        else:
            needed = ("source", "audio_path", "image_path")
        if self.status is Status.INCLUDED:
            needed += ("class_name", "caption", "audio_sha256", "image_sha256", "duration_s")
        missing = [name for name in needed if getattr(self, name) is None]
        if missing:
            raise DataError(f"item {self.id!r} is {self.status.value} without {', '.join(missing)}")

    def sample(self) -> Sample:
        """The pair of an included item."""
        fields_ = {name: getattr(self, name) for name in _SAMPLE_FIELDS}
        return Sample(**{**fields_, "source": self.group or self.source})

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


@dataclass(frozen=True)
class Manifest:
    """Everything found in the sources; candidates + included + excluded = input, always."""

    root: Path
    """Folder that every path is relative to: the common parent of all that is referenced."""
    items: tuple[Item, ...]
    """Sorted by id."""
    num_input: int
    """Rows, pairs and loose media files that were found; every step must still hold them all."""
    named_classes: tuple[str, ...] = ()
    """Every class the sources name, also those without an item; sorted."""
    sources: tuple[Mapping[str, Any], ...] = field(default=())
    """What was ingested, as asked for; two ingests of equal `sources` may share a folder."""
    cleaning: Mapping[str, Any] | None = None
    """Settings of the cleaning; None before it."""
    notices: tuple[str, ...] = field(default=(), compare=False)
    """What a reader should know of how the sources were read, as sentences."""

    def __post_init__(self) -> None:
        if len(self.items) != self.num_input:
            counts = Counter(item.status.value for item in self.items)
            parts = " + ".join(f"{counts[status.value]} {status.value}" for status in Status)
            raise DataError(
                f"{parts} is not the input of {self.num_input}; "
                "the manifest is not complete, build it again"
            )
        ids = Counter(item.id for item in self.items if item.status is not Status.EXCLUDED)
        repeated = [id_ for id_, count in ids.items() if count > 1]
        if repeated:
            raise DataError(f"id {repeated[0]!r} is used by {ids[repeated[0]]} samples")

    @cached_property
    def candidates(self) -> tuple[Item, ...]:
        """Items whose files are not decoded yet, sorted by id."""
        return tuple(item for item in self.items if item.status is Status.CANDIDATE)

    @cached_property
    def samples(self) -> tuple[Sample, ...]:
        """The usable pairs, sorted by id."""
        return tuple(item.sample() for item in self.items if item.status is Status.INCLUDED)

    @cached_property
    def exclusions(self) -> tuple[Item, ...]:
        """Items that are no samples, sorted by id."""
        return tuple(item for item in self.items if item.status is Status.EXCLUDED)

    def as_ingested(self) -> "Manifest":
        """The same before cleaning: what ingest excluded stays, everything else is a candidate."""
        return replace(self, items=tuple(item.as_ingested() for item in self.items), cleaning=None)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names of the samples, sorted."""
        return tuple(sorted({sample.class_name for sample in self.samples}))

    def class_counts(self) -> dict[str, int]:
        """Number of samples of each class, sorted by name."""
        return dict(sorted(Counter(sample.class_name for sample in self.samples).items()))

    def reason_counts(self) -> dict[Reason, int]:
        """Number of exclusions of each reason, most frequent first."""
        reasons = (item.reason for item in self.exclusions if item.reason is not None)
        return dict(Counter(reasons).most_common())

    def save(self, folder: Path) -> None:
        """Write `manifest.parquet` atomically.

        The root is kept relative to `folder`, so the two can move together.
        """
        header = {
            "format": FORMAT,
            "root": Path(os.path.relpath(self.root.resolve(), folder.resolve())).as_posix(),
            "num_input": self.num_input,
            "named_classes": list(self.named_classes),
            "sources": [dict(source) for source in self.sources],
            "cleaning": None if self.cleaning is None else dict(self.cleaning),
            "notices": list(self.notices),
        }
        write_atomic(folder / MANIFEST_FILE, content=_to_parquet(self.items, header=header))

    @classmethod
    def load(cls, folder: Path, *, root: Path | None = None) -> "Manifest":
        """The manifest that `save` wrote; `root` overrides where the media are.

        Raises: DataError when the file is missing, unreadable or of another format.
        """
        header, items = _from_parquet(folder / MANIFEST_FILE)
        return cls(
            root=root if root is not None else (folder / header["root"]).resolve(),
            items=items,
            num_input=header["num_input"],
            named_classes=tuple(header["named_classes"]),
            sources=tuple(header["sources"]),
            cleaning=header["cleaning"],
            notices=tuple(header.get("notices", ())),  # came later than the format
        )


_INGEST_FIELDS = (
    *("id", "class_name", "caption", "source", "source_label", "kind", "origin"),
    *("official_split", "audio_path", "image_path", "attributes", "provenance"),
)
_SAMPLE_FIELDS = tuple(entry.name for entry in fields(Sample))
_JSON_COLUMNS = frozenset({"attributes", "provenance"})
_ENUM_COLUMNS = {"status": Status, "reason": Reason, "excluded_by": Stage}
_INTEGER_COLUMNS = frozenset(entry.name for entry in fields(Item) if "int" in str(entry.type))
_FLOAT_COLUMNS = frozenset(entry.name for entry in fields(Item) if str(entry.type)[:5] == "float")
_COLUMNS = tuple(entry.name for entry in fields(Item))


def _to_parquet(items: Iterable[Item], *, header: Mapping[str, Any]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    def kind(name: str) -> pyarrow.DataType:
        if name == "flags":
            return pyarrow.list_(pyarrow.string())
        if name in _INTEGER_COLUMNS:
            return pyarrow.int64()
        return pyarrow.float64() if name in _FLOAT_COLUMNS else pyarrow.string()

    def cells(name: str) -> list[Any]:
        values = [getattr(item, name) for item in items]
        if name in _JSON_COLUMNS:
            return [None if v is None else json.dumps(v, sort_keys=True) for v in values]
        return [list(value) for value in values] if name == "flags" else values

    columns = {name: cells(name) for name in _COLUMNS}
    head = json.dumps(header).encode()
    metadata = {_HEADER_KEY: head, _CHECKSUM_KEY: _checksum(head, columns)}
    schema = pyarrow.schema([(name, kind(name)) for name in _COLUMNS], metadata=metadata)
    table = pyarrow.Table.from_pydict(columns, schema=schema)
    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    return buffer.getvalue()


def _from_parquet(path: Path) -> tuple[dict[str, Any], tuple[Item, ...]]:
    import pyarrow
    from pyarrow import parquet

    if not path.is_file():
        raise DataError(f"no manifest at {path}; run harness data ingest first")
    try:
        with parquet.ParquetFile(path) as file:  # read_table imports pandas
            table = file.read()
        metadata = table.schema.metadata or {}
        head = metadata.get(_HEADER_KEY, b"null")
        header = json.loads(head)
        cells = {name: table.column(name).to_pylist() for name in table.column_names}
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); {_AGAIN}") from error
    is_ours = isinstance(header, dict) and header.get("format") == FORMAT
    if not is_ours or table.column_names != list(_COLUMNS):
        raise DataError(f"{path} is not a manifest of format {FORMAT}; {_AGAIN}")
    if metadata.get(_CHECKSUM_KEY) != _checksum(head, cells):
        raise DataError(f"{path} is not as it was written: its checksum does not fit; {_AGAIN}")
    columns = {name: _cells(name, cells[name]) for name in _COLUMNS}
    return header, tuple(Item(*row) for row in zip(*columns.values(), strict=True))


def _checksum(head: bytes, columns: Mapping[str, list[Any]]) -> bytes:
    """Parquet reads a flipped bit as another value, or text as bytes. Levels may be infinite."""
    digest = hashlib.sha256(head)
    digest.update(json.dumps(columns, default=repr).encode())
    return digest.hexdigest().encode()


def _cells(name: str, values: list[Any]) -> list[Any]:
    if name in _ENUM_COLUMNS:
        return [None if value is None else _ENUM_COLUMNS[name](value) for value in values]
    if name in _JSON_COLUMNS:
        return [None if value is None else json.loads(value) for value in values]
    return [tuple(value) for value in values] if name == "flags" else values
