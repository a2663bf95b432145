"""Two copies of one data set, clip by clip: what is gone, new, changed or elsewhere in each."""

import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from core.data.items import DataKind, Sample
from core.data.manifest import MANIFEST_FILE
from core.data.splits.split import Part, Split, load_split
from core.errors import DataError
from harness.archive.read import read_member
from harness.data.source import load_cleaned

_COMPARED = ("audio", "image", "caption", "class", "labels", "source", "part")
"""What a clip may differ in, in the order it is said."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two."""

    path: Path
    """As the user named it."""
    kind: DataKind
    """Whether a clip has one class, any number of labels, or captions alone."""
    samples: Mapping[str, Sample]
    """Its usable clips by id."""
    part_of: Mapping[str, Part]
    """Part of each clip; empty for a folder, which is not divided."""
    left_out: Mapping[str, str]
    """Why an id that was in the input is not a clip; of a folder alone."""


@dataclass(frozen=True, kw_only=True)
class Gone:
    """A clip of one side that the other lacks."""

    id: str
    """Its id."""
    part: Part | None
    """Its part, where its own side is divided."""
    why: str | None
    """Why the other side left it out, or as which id the same bytes are there; None: it is not
    known there at all."""
    is_renamed: bool
    """Whether the same sound and picture are there under another id."""


@dataclass(frozen=True)
class Changed:
    """A clip that both have and that is not the same."""

    id: str
    """Its id."""
    fields: tuple[str, ...]
    """What differs: of `audio`, `image`, `caption`, `class`, `labels`, `source`, `part`."""

    @property
    def has_other_bytes(self) -> bool:
        """Whether its sound or picture is another one, so that scores of it are of another clip."""
        return not {"audio", "image"}.isdisjoint(self.fields)


@dataclass(frozen=True, kw_only=True)
class DataDiff:
    """Two sides held against each other."""

    first: Side
    """The first one named."""
    second: Side
    """The second one."""
    vanished: tuple[Gone, ...]
    """In the first and not in the second, by id."""
    new: tuple[Gone, ...]
    """In the second and not in the first, by id."""
    changed: tuple[Changed, ...]
    """In both and not the same, by id."""
    num_equal: int
    """Clips that are the same in both."""

    @property
    def lost(self) -> Mapping[str, str]:
        """Clips of the first that the second has not, or has with other bytes: how, by id."""
        other = {clip.id: "changed" for clip in self.changed if clip.has_other_bytes}
        return {clip.id: "vanished" for clip in self.vanished if not clip.is_renamed} | other

    def turned(self) -> "DataDiff":
        """The same from the second's side."""
        return DataDiff(
            first=self.second,
            second=self.first,
            vanished=self.new,
            new=self.vanished,
            changed=self.changed,
            num_equal=self.num_equal,
        )

    def data(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "first": _side_data(self.first),
            "second": _side_data(self.second),
            "equal": self.num_equal,
            "vanished": [_gone_data(clip) for clip in self.vanished],
            "new": [_gone_data(clip) for clip in self.new],
            "changed": [{"id": clip.id, "fields": list(clip.fields)} for clip in self.changed],
        }


def read_side(path: Path, *, packed_lock: str) -> Side:
    """A cleaned folder, a lock file, a pack, or a folder that a pack was unpacked into.

    packed_lock: where in a pack the lock lies. Raises: DataError for anything else, or a folder
    that is not cleaned; MismatchError for a lock or a pack that was changed.
    """
    if path.is_dir() and (path / MANIFEST_FILE).is_file():
        manifest = load_cleaned(path)
        why = {item.id: f"{item.reason}: {item.detail}" for item in manifest.exclusions}
        own = {sample.id: sample for sample in manifest.samples}
        return Side(path=path, kind=manifest.kind, samples=own, part_of={}, left_out=why)
    if path.is_dir() and (path / packed_lock).is_file():
        return _of_split(path, load_split(path / packed_lock))
    if path.is_dir():
        raise DataError(
            f"{path} holds no {MANIFEST_FILE} and no unpacked pack; name a cleaned data folder, a "
            "lock file, or a pack"
        )
    if not path.is_file():
        raise DataError(f"no file or folder {path}; name a data folder, a lock file, or a pack")
    if not tarfile.is_tarfile(path):
        return _of_split(path, load_split(path))
    content = read_member(path, packed_lock)
    with TemporaryDirectory(prefix="harness-diff-") as folder:
        lock = Path(folder) / "lock.json"
        lock.write_bytes(content)
        return _of_split(path, load_split(lock))


def diff_data(first: Side, second: Side) -> DataDiff:
    """Hold two sides against each other by id, and by content where an id is not there."""
    changed = []
    for id_ in sorted(first.samples.keys() & second.samples.keys()):
        if fields := _differing(id_, first, second):
            changed.append(Changed(id_, fields))
    num_both = len(first.samples.keys() & second.samples.keys())
    return DataDiff(
        first=first,
        second=second,
        vanished=_gone(first, second),
        new=_gone(second, first),
        changed=tuple(changed),
        num_equal=num_both - len(changed),
    )


def _of_split(path: Path, split: Split) -> Side:
    part_of = {id_: part for part in Part for id_ in split.parts[part]}
    return Side(path=path, kind=split.kind, samples=split.samples, part_of=part_of, left_out={})


def _gone(own: Side, other: Side) -> tuple[Gone, ...]:
    by_bytes = {_bytes(sample): id_ for id_, sample in other.samples.items()}
    found = []
    for id_ in sorted(own.samples.keys() - other.samples.keys()):
        same = by_bytes.get(_bytes(own.samples[id_]))
        why = other.left_out.get(id_) if same is None else f"it is there as {same!r}"
        found.append(Gone(id=id_, part=own.part_of.get(id_), why=why, is_renamed=same is not None))
    return tuple(found)


def _bytes(sample: Sample) -> tuple[str, str]:
    return sample.audio_sha256, sample.image_sha256


def _differing(id_: str, first: Side, second: Side) -> tuple[str, ...]:
    a, b = first.samples[id_], second.samples[id_]
    has_classes = first.kind is second.kind is DataKind.CLASSES
    parts = first.part_of.get(id_), second.part_of.get(id_)
    differs = {
        "audio": a.audio_sha256 != b.audio_sha256,
        "image": a.image_sha256 != b.image_sha256,
        "caption": (a.caption, a.captions) != (b.caption, b.captions),
        # Without classes it is a group that a draw made, not something the clip has.
        "class": has_classes and a.class_name != b.class_name,
        "labels": a.labels != b.labels,
        "source": a.source != b.source,
        "part": None not in parts and parts[0] is not parts[1],
    }
    return tuple(name for name in _COMPARED if differs[name])


def _side_data(side: Side) -> dict[str, Any]:
    counts = {part.value: 0 for part in Part}
    for part in side.part_of.values():
        counts[part.value] += 1
    return {
        "path": str(side.path),
        "kind": side.kind.value,
        "clips": len(side.samples),
        "parts": counts if side.part_of else None,
    }


def _gone_data(clip: Gone) -> dict[str, Any]:
    return {
        "id": clip.id,
        "part": None if clip.part is None else clip.part.value,
        "why": clip.why,
        "renamed": clip.is_renamed,
    }
