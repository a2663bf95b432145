"""What an audit looks at: lists of clips of a manifest, a lock, or a file of one part."""

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.data.ingest.metadata_rows import read_metadata
from core.data.items import DataKind, Sample
from core.data.manifest import MANIFEST_FILE, Manifest
from core.data.splits.official import OfficialList, video_of
from core.data.splits.split import Part, Split, load_split
from core.errors import DataError

_PART_NAMES = {
    "train": Part.TRAIN,
    "training": Part.TRAIN,
    "val": Part.VAL,
    "valid": Part.VAL,
    "validation": Part.VAL,
    "test": Part.TEST,
}


@dataclass(frozen=True)
class Clip:
    """One clip of a list; None where the list does not say."""

    id: str
    class_name: str
    source: str
    """The video or what else the clip was cut from."""
    source_label: str | None = None
    """The label before any map from labels to classes."""
    official_split: str | None = None
    """`train` or `test` of the data set's own division."""
    audio_sha256: str | None = None
    image_sha256: str | None = None


@dataclass(frozen=True)
class Listing:
    """One list of clips: a part of a split, or a whole manifest."""

    name: str
    """What a person calls it: the file, and the part where a file holds several."""
    part: Part | None
    """What it is used for; None for a manifest, or where neither file nor name says."""
    clips: tuple[Clip, ...]
    family: str
    """Equal for the parts of one split."""
    is_drawn: bool = False
    """Whether a rule and a seed made it; a lock's own draw keeps its promises by construction."""


@dataclass(frozen=True)
class Target:
    """What one argument of an audit names."""

    path: Path
    listings: tuple[Listing, ...]
    samples: tuple[Sample, ...]
    """The pairs with media; empty for a metadata file."""
    root: Path | None
    """Folder that the samples' paths are relative to; None without media."""
    kind: DataKind = DataKind.CLASSES
    """Whether a clip has one class, any number of labels, or captions alone."""


def read_target(path: Path) -> Target:
    """The lists in a folder with a manifest, a lock file, or a metadata file of one part.

    Raises: DataError for anything else; MismatchError for a lock that was edited.
    """
    if path.is_dir():
        if not (path / MANIFEST_FILE).is_file():
            raise DataError(
                f"{path} holds no {MANIFEST_FILE}; audit takes what harness data ingest and clean "
                "wrote, a lock file, or *_metadata.json files"
            )
        manifest = Manifest.load(path)
        if not manifest.samples:
            raise DataError(f"{path} has no clean pair yet; run harness data clean first")
        clips = tuple(_clip_of(sample) for sample in manifest.samples)
        whole = Listing(str(path), None, clips, family=str(path))
        return Target(
            path=path,
            listings=(whole,),
            samples=manifest.samples,
            root=manifest.root,
            kind=manifest.kind,
        )
    if _is_lock(path):
        split = load_split(path)
        samples = tuple(split.samples.values())
        return Target(
            path=path,
            listings=listings_of_split(split, path),
            samples=samples,
            root=split.root,
            kind=split.kind,
        )
    return Target(path=path, listings=(read_part_file(path),), samples=(), root=None)


def read_part_file(path: Path, *, part: Part | None = None) -> Listing:
    """The rows of a `*_metadata.json`; without `part` its name says which part it is.

    Raises: DataError naming the row and the field.
    """
    rows = read_metadata([path], root=path.resolve().parent)
    guessed, family = _part_in_name(path)
    clips = tuple(Clip(row.id, row.class_name or "", video_of(row.id)) for row in rows)
    return Listing(path.name, part or guessed, clips, family=family)


def listings_of_split(split: Split, path: Path) -> tuple[Listing, ...]:
    """One list a part."""
    return tuple(
        Listing(
            f"{path.name} {part.value}",
            part,
            tuple(_clip_of(split.samples[id_]) for id_ in split.parts[part]),
            family=str(path),
            is_drawn=split.rule.seed is not None,
        )
        for part in Part
    )


def with_official(listing: Listing, official: OfficialList) -> Listing:
    """The listing with the official part and label of every clip that the list names."""
    clips = tuple(
        replace(
            clip,
            official_split=official.split_of(clip.id, source=clip.source) or clip.official_split,
            source_label=official.label_of(clip.id, source=clip.source) or clip.source_label,
        )
        for clip in listing.clips
    )
    return replace(listing, clips=clips)


def families(listings: Sequence[Listing]) -> dict[str, tuple[Listing, ...]]:
    """The parts of each split that comes in several, in the order train, val, test."""
    found: dict[str, list[Listing]] = defaultdict(list)
    for listing in listings:
        if listing.part is not None:
            found[listing.family].append(listing)
    order = list(Part)
    return {
        family: tuple(sorted(parts, key=lambda listing: order.index(listing.part or Part.TRAIN)))
        for family, parts in found.items()
        if len(parts) > 1
    }


def _clip_of(sample: Sample) -> Clip:
    return Clip(
        id=sample.id,
        class_name=sample.class_name,
        source=sample.source,
        source_label=sample.source_label,
        official_split=sample.official_split,
        audio_sha256=sample.audio_sha256,
        image_sha256=sample.image_sha256,
    )


def _is_lock(path: Path) -> bool:
    try:
        body = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"no file or folder {path} ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not readable as JSON ({error})") from None
    return isinstance(body, dict)


def _part_in_name(path: Path) -> tuple[Part | None, str]:
    """The part that a word of the name says, and the name without it."""
    for word in re.findall(r"[A-Za-z]+", path.stem):
        part = _PART_NAMES.get(word.lower())
        if part is not None:
            return part, str(path.parent / path.name.replace(word, "*", 1))
    return None, str(path)
