"""What a folder of media holds: the clean samples, and every excluded item with its reason."""

import io
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from core.data.atomic import write_atomic
from core.errors import DataError

MANIFEST_FILE = "manifest.parquet"
EXCLUSIONS_FILE = "exclusions.parquet"
_FORMAT = 1
_HEADER_KEY = b"harness_manifest"


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
    EMPTY_AUDIO = "empty_audio"
    UNDECODABLE_AUDIO = "undecodable_audio"
    TRUNCATED_AUDIO = "truncated_audio"
    NON_FINITE_AUDIO = "non_finite_audio"
    SILENT_AUDIO = "silent_audio"
    CLIPPED_AUDIO = "clipped_audio"
    SHORT_AUDIO = "short_audio"
    UNDECODABLE_IMAGE = "undecodable_image"
    HUGE_IMAGE = "huge_image"
    SMALL_IMAGE = "small_image"


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


@dataclass(frozen=True)
class Exclusion:
    """One item of the input that is not a sample."""

    subject: str
    """Sample id of a pair, or path relative to the root of a loose file."""
    reason: Reason
    """Machine readable."""
    detail: str
    """A sentence a person understands."""


@dataclass(frozen=True)
class Manifest:
    """A folder's pairs after cleaning; included + excluded = input, always."""

    root: Path
    """Folder that the samples' paths are relative to."""
    samples: tuple[Sample, ...]
    """Sorted by id."""
    exclusions: tuple[Exclusion, ...]
    """Sorted by subject."""
    num_input: int
    """Candidate pairs plus loose media files that were found."""

    def __post_init__(self) -> None:
        if len(self.samples) + len(self.exclusions) != self.num_input:
            raise DataError(
                f"{len(self.samples)} included + {len(self.exclusions)} excluded is not the input "
                f"of {self.num_input}; the manifest is not complete, build it again"
            )
        counts = Counter(sample.id for sample in self.samples)
        repeated = [id_ for id_, count in counts.items() if count > 1]
        if repeated:
            raise DataError(f"id {repeated[0]!r} is used by {counts[repeated[0]]} samples")

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, sorted."""
        return tuple(sorted({sample.class_name for sample in self.samples}))

    def class_counts(self) -> dict[str, int]:
        """Number of samples of each class, sorted by name."""
        return dict(sorted(Counter(sample.class_name for sample in self.samples).items()))

    def reason_counts(self) -> dict[Reason, int]:
        """Number of exclusions of each reason, most frequent first."""
        return dict(Counter(exclusion.reason for exclusion in self.exclusions).most_common())

    def save(self, folder: Path) -> None:
        """Write `manifest.parquet` and `exclusions.parquet`, each atomically.

        The root is kept relative to `folder`, so the two can move together.
        """
        header = {
            "format": _FORMAT,
            "num_input": self.num_input,
            "root": Path(os.path.relpath(self.root.resolve(), folder.resolve())).as_posix(),
        }
        samples = [dict(vars(sample)) for sample in self.samples]
        for row in samples:
            if row["attributes"] is not None:
                row["attributes"] = json.dumps(row["attributes"], sort_keys=True)
        exclusions = [dict(vars(e), reason=e.reason.value) for e in self.exclusions]
        excluded = _parquet(exclusions, columns=_EXCLUSION_COLUMNS, header=header)
        write_atomic(folder / EXCLUSIONS_FILE, content=excluded)
        included = _parquet(samples, columns=_SAMPLE_COLUMNS, header=header)
        write_atomic(folder / MANIFEST_FILE, content=included)

    @classmethod
    def load(cls, folder: Path, *, root: Path | None = None) -> "Manifest":
        """The manifest that `save` wrote; `root` overrides where the media are.

        Raises: DataError when either file is missing, unreadable or of another format.
        """
        header, samples = _read_parquet(folder / MANIFEST_FILE, columns=_SAMPLE_COLUMNS)
        other_header, exclusions = _read_parquet(
            folder / EXCLUSIONS_FILE, columns=_EXCLUSION_COLUMNS
        )
        if header != other_header:
            raise DataError(
                f"{MANIFEST_FILE} and {EXCLUSIONS_FILE} in {folder} come from two different "
                "cleanings; clean the folder again"
            )
        for row in samples:
            if row["attributes"] is not None:
                row["attributes"] = json.loads(row["attributes"])
        for row in exclusions:
            row["reason"] = Reason(row["reason"])
        return cls(
            root=root if root is not None else (folder / header["root"]).resolve(),
            samples=tuple(Sample(**row) for row in samples),
            exclusions=tuple(Exclusion(**row) for row in exclusions),
            num_input=header["num_input"],
        )


_TEXT = ("id", "class_name", "caption", "source", "audio_path", "image_path")
_SAMPLE_COLUMNS = {
    **dict.fromkeys((*_TEXT, "audio_sha256", "image_sha256"), "string"),
    "duration_s": "float64",
    "attributes": "string",
    "duplicate_of": "string",
}
_EXCLUSION_COLUMNS = dict.fromkeys(("subject", "reason", "detail"), "string")


def _parquet(
    rows: Sequence[Mapping[str, Any]], *, columns: Mapping[str, str], header: Mapping[str, Any]
) -> bytes:
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema(
        [(name, pyarrow.type_for_alias(kind)) for name, kind in columns.items()],
        metadata={_HEADER_KEY: json.dumps(header).encode()},
    )
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(list(rows), schema=schema), buffer)
    return buffer.getvalue()


def _read_parquet(
    path: Path, *, columns: Mapping[str, str]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    import pyarrow
    from pyarrow import parquet

    if not path.is_file():
        raise DataError(f"no manifest at {path}; clean the folder of media first")
    try:
        table = parquet.read_table(path)
        header = json.loads((table.schema.metadata or {}).get(_HEADER_KEY, b"null"))
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); clean the folder again") from error
    if header is None or header.get("format") != _FORMAT or table.column_names != list(columns):
        raise DataError(f"{path} is not a manifest of format {_FORMAT}; clean the folder again")
    return header, table.to_pylist()
