"""The seam every kind of source goes through: claim a path, read it into rows.

A kind is a `SourceKind` value in `core.data.ingest.kinds.KINDS`; nothing else knows it by name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from core.data.ingest.made_media import MediaMaker
from core.data.ingest.metadata_rows import metadata_files
from core.data.ingest.scan import Found, Scan, walk
from core.data.labels import LabelMap
from core.data.media.decode_audio import DEFAULT_WINDOW_S
from core.errors import UsageError
from core.text import canonical

DEFAULT_MAX_MEMBER_BYTES = 256 << 20
"""An hour of 16-bit mono sound takes 330 MB; a clip and its picture take one."""


class Place:
    """A path that was named as a source, walked at most once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        """As the user wrote it."""
        self.resolved = path.resolve()
        """Absolute, links resolved."""

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.resolved.is_dir()

    @cached_property
    def metadata_files(self) -> list[Path]:
        """The user's own lists in the folder, by name, sorted; they outrank every layout."""
        if not self.is_folder:
            return []
        return metadata_files(self.resolved)

    @cached_property
    def found(self) -> Found:
        """Every media file in the folder. Raises: DataError for a subfolder without permission."""
        return walk(self.resolved)


@dataclass(frozen=True)
class Options:
    """What the user says beside the sources; the same for all of them."""

    class_name: str | None = None
    """Label of every item whose source has none."""
    label_of: Mapping[str, str] = field(default_factory=dict)
    """Labels by id, source or file stem; they come before what the source says."""
    labels: LabelMap | None = None
    """Which labels mean which class; without it a label is its own class."""
    media: Path | None = None
    """Folder of the files that a list names."""
    images: Path | None = None
    """Folder of the pictures, for a folder of sounds alone."""
    maker: MediaMaker | None = None
    """Writes clips and frames cut from videos and archives; None where nothing may be written."""
    window_s: float = DEFAULT_WINDOW_S
    """Seconds of sound cut from a video."""
    max_member_bytes: int = DEFAULT_MAX_MEMBER_BYTES
    """Largest member of an archive that is read."""
    progress: Callable[[str, int, int], None] | None = None
    """Called with what is read, how much is done and how much there is."""

    def label(self, *keys: str, own: str | None = None) -> str | None:
        """The label file's word on the first of `keys` it knows, else the source's, else ours."""
        for key in map(canonical, keys):
            if key in self.label_of:
                return self.label_of[key]
        return own or (self.class_name and canonical(self.class_name))

    def is_mapped(self, label: str) -> bool:
        """Whether the label has a class, so that its media are worth making."""
        return self.labels is None or self.labels.class_of(label) is not None

    @property
    def has_labels(self) -> bool:
        """Whether anything but the source itself says what the classes are."""
        return bool(self.label_of) or self.class_name is not None

    def require_maker(self, what: str) -> MediaMaker:
        """The maker. Raises: UsageError where nothing may be written."""
        if self.maker is None:
            raise UsageError(
                f"{what} cannot be read in place: clips and frames have to be written first; run "
                "harness data ingest SOURCE --out DIR, clean and split it, and use the lock file"
            )
        return self.maker


@dataclass(frozen=True)
class SourceKind:
    """One kind of source."""

    name: str
    """What `--kind` takes and the manifest's column `kind` holds."""
    summary: str
    """What it looks like, one line for help and for errors."""
    claims: Callable[[Place, Options], bool]
    """Whether a path looks like this kind; by names and first lines alone."""
    read: Callable[[Place, Options], Scan]
    """Everything in it. Raises: DataError for what is not of this kind or malformed."""
