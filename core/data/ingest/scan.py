"""The media files of a folder, found by name alone; nothing is decoded and nothing is written.

Every file is either usable or excluded with its reason, so that included + excluded = input. Text
(captions, lists, JSON) and hidden files of the system are no input.
"""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.data.ingest.data_kind import made_caption, of_one_kind
from core.data.ingest.endings import (
    AUDIO_SUFFIXES,
    CAPTION_LISTS,
    CAPTION_SUFFIXES,
    IMAGE_SUFFIXES,
    LEFTOVER_SUFFIXES,
    OF_SYSTEM,
    OTHER_MEDIA_SUFFIXES,
    SHARD_SUFFIXES,
    VIDEO_SUFFIXES,
    is_of_system,
    is_text,
    suffix_of,
    why_not_read,
)
from core.data.items import Item, Reason, Status, excluded
from core.data.manifest import Manifest
from core.errors import DataError
from core.text import canonical, look

_TOKENS = re.compile(r"[^\W\d_]+|\d|[^\s\w]+|_+")
_MAX_TOKENS = 75
"""Between the marks of start and end; CLIP reads 77 with them."""
AUDIO_FOLDERS = frozenset({"audio"})
IMAGE_FOLDERS = frozenset({"frames", "images"})


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What a source holds: pairs whose two files exist, and everything else with its reason."""

    root: Path
    """Absolute, links resolved; the paths of the items are relative to it."""
    items: tuple[Item, ...]
    """Candidates and exclusions, sorted by id."""
    classes: tuple[str, ...]
    """Every class the source names, also those without a candidate; sorted."""
    named_files: frozenset[str] = frozenset()
    """Absolute paths of files that a list names; no other list's loose files. Only for lists,
    which may share a folder of media."""
    notices: tuple[str, ...] = ()
    """What a reader should know of how the source was read, as sentences."""

    @property
    def candidates(self) -> tuple[Item, ...]:
        """Pairs that are not decoded yet."""
        return tuple(item for item in self.items if item.status is Status.CANDIDATE)

    @property
    def exclusions(self) -> tuple[Item, ...]:
        """What cannot be a pair."""
        return tuple(item for item in self.items if item.status is Status.EXCLUDED)

    @property
    def num_input(self) -> int:
        """Rows, pairs and loose media files."""
        return len(self.items)

    def manifest(self) -> Manifest:
        """The table of this one source, before cleaning."""
        found = of_one_kind(self.items)
        notices = (
            *self.notices,
            *found.notices,
            *_look_alikes(self.classes),
            *_hard_to_read(item for item in found.items if item.status is Status.CANDIDATE),
        )
        return Manifest(
            self.root,
            found.items,
            self.num_input,
            named_classes=self.classes,
            notices=notices,
            kind=found.kind,
        )


def make_scan(
    root: Path, items: Iterable[Item], *, classes: Iterable[str], notices: Iterable[str] = ()
) -> Scan:
    """A scan with its rows and classes in order, its names in Unicode's composed form (NFC)."""
    found = [_in_one_form(item) for item in items]
    ordered = sorted(found, key=lambda item: (item.id, item.origin or ""))
    names = set(classes)
    said = list(notices)
    num_names = sum(canonical(name) != name for name in names)
    num_items = sum(old.source != new.source for old, new in zip(items, found, strict=True))
    if num_names or num_items:
        said.append(
            f"{num_items} names of clips and {num_names} of classes are spelled with separate "
            "accents or letters (Unicode NFD, as a Mac writes them); they are taken as the same "
            "names in one piece (NFC), paths keep the disk's spelling"
        )
    return Scan(
        root=root,
        items=tuple(ordered),
        classes=tuple(sorted({canonical(name) for name in names})),
        notices=tuple(said),
    )


def _in_one_form(item: Item) -> Item:
    """The item with its texts in NFC. Paths, and the ids that are paths, stay as on the disk."""
    texts = [item.class_name, item.caption, item.source, item.source_label]
    if item.labels or item.captions:
        labels = tuple(sorted({canonical(label) for label in item.labels}))
        item = replace(item, labels=labels, captions=tuple(map(canonical, item.captions)))
    if all(text is None or text.isascii() for text in (item.id, *texts)):
        return item
    changed = [None if text is None else canonical(text) for text in texts]
    return replace(
        item,
        id=item.id if item.origin is None else canonical(item.id),
        class_name=changed[0],
        caption=changed[1],
        source=changed[2],
        source_label=changed[3],
    )


def _hard_to_read(items: Iterable[Item]) -> list[str]:
    """Sentences on captions that CLIP's text encoder, which Stable Diffusion has, cannot read.

    Each word, digit and row of marks is a token at least; what is cut for sure is said here, what
    is cut in fact when a run has loaded its own encoder.
    """
    captions = {item.id: item.caption for item in items if item.caption}
    long = [id_ for id_, text in captions.items() if len(_TOKENS.findall(text)) > _MAX_TOKENS]
    foreign = [
        id_
        for id_, text in captions.items()
        if not text.isascii()
        and any(c.isalpha() and not unicodedata.name(c, "").startswith("LATIN") for c in text)
    ]
    notices = []
    if long:
        notices.append(
            f"{len(long)} of {len(captions)} captions, such as that of {long[0]!r}, are longer "
            f"than the {_MAX_TOKENS + 2} tokens that the text encoder of Stable Diffusion reads; "
            "the rest of each is not read"
        )
    if foreign:
        notices.append(
            f"{len(foreign)} of {len(captions)} captions, such as that of {foreign[0]!r}, are not "
            "in Latin letters; Stable Diffusion 1.5 and CLIP have learned from English"
        )
    return notices


def _look_alikes(classes: Iterable[str]) -> list[str]:
    """A sentence for each group of classes that a reader would take for one."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in classes:
        groups[look(name)].append(name)
    return [
        f"the classes {', '.join(map(repr, names))} differ only in case, blanks or characters that "
        "look alike; they are trained apart. If one is meant, rename them, or map them with "
        "--label-map"
        for names in groups.values()
        if len(names) > 1
    ]


@dataclass(frozen=True, kw_only=True)
class Found:
    """The media files of a folder; posix paths relative to it, sorted by folder and name."""

    audio: tuple[str, ...]
    images: tuple[str, ...]
    videos: tuple[str, ...]
    """Also among `exclusions`, for those who do not read videos."""
    exclusions: tuple[Item, ...]
    captions: tuple[str, ...] = ()
    """Text files that may stand beside a pair and describe it; no input."""
    caption_lists: tuple[str, ...] = ()
    """Lists of captions by file name; no input."""

    def not_videos(self) -> tuple[Item, ...]:
        """The exclusions for those who do read videos."""
        videos = set(self.videos)
        return tuple(item for item in self.exclusions if item.id not in videos)

    def loose(self, used: set[str], *, detail: str) -> list[Item]:
        """`NOT_LISTED` for every sound and picture that is not in `used`."""
        return [
            not_listed(path, detail, field=field)
            for field, paths in (("audio_path", self.audio), ("image_path", self.images))
            for path in paths
            if path not in used
        ]


def not_listed(path: str, detail: str, *, field: str) -> Item:
    """The exclusion of a media file that belongs to nothing."""
    known: dict[str, Any] = {field: path}
    return excluded(path, Reason.NOT_LISTED, detail, **known)


def walk(root: Path) -> Found:
    """Every media file under `root`; links that leave it, leftovers and the like are exclusions.

    Raises: DataError for a folder that cannot be read.
    """
    audio: list[str] = []
    images: list[str] = []
    videos: list[str] = []
    exclusions: list[Item] = []
    captions: list[str] = []
    caption_lists: list[str] = []
    for folder, subfolders, names in os.walk(root, onerror=_refuse_unreadable):
        subfolders.sort()
        for name in sorted(subfolders) + sorted(names):
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, root)
            is_folder = name in subfolders
            if is_folder and not os.path.islink(path):
                continue
            suffix = suffix_of(name)
            is_own = not is_of_system(Path(relative).parts) and not name.startswith(".")
            if not is_folder and _is_utf8(path) and is_own:
                if suffix in CAPTION_SUFFIXES:
                    captions.append(relative)
                elif name.lower() in CAPTION_LISTS:
                    caption_lists.append(relative)
            problem = _problem(path, root=root, is_folder=is_folder)
            if problem:
                printable = relative.encode("utf-8", "backslashreplace").decode()
                exclusions.append(excluded(printable, *problem))
                if suffix in VIDEO_SUFFIXES and not is_folder and _is_whole_file(path, root=root):
                    videos.append(relative)
            elif not is_folder:
                if suffix in AUDIO_SUFFIXES:
                    audio.append(relative)
                elif suffix in IMAGE_SUFFIXES:
                    images.append(relative)
    return Found(
        audio=tuple(audio),
        images=tuple(images),
        videos=tuple(videos),
        exclusions=tuple(exclusions),
        captions=tuple(captions),
        caption_lists=tuple(caption_lists),
    )


def _refuse_unreadable(error: OSError) -> None:
    raise DataError(f"the folder {error.filename} cannot be read ({error.strerror}); allow it")


def _problem(path: str, *, root: Path, is_folder: bool) -> tuple[Reason, str] | None:
    """Why a media file, or a link to a folder, cannot be part of a pair; None when it may."""
    name = os.path.basename(path)
    suffix = suffix_of(name)
    has_media_ending = suffix in AUDIO_SUFFIXES | IMAGE_SUFFIXES | OTHER_MEDIA_SUFFIXES
    if not is_folder and not has_media_ending and suffix not in LEFTOVER_SUFFIXES:
        is_hidden = any(part.startswith(".") for part in Path(path).relative_to(root).parts)
        # What is inside a shard is counted by its own kind of source.
        if is_hidden or is_text(name) or name.lower().endswith(SHARD_SUFFIXES):
            return None
    if os.path.islink(path) and not is_inside(path, root=root):
        return Reason.OUTSIDE_ROOT, "a symbolic link that leaves the data folder is not followed"
    if is_folder:
        return Reason.NOT_A_FILE, "a symbolic link to a folder is not followed"
    if is_of_system(Path(path).relative_to(root).parts):
        return OF_SYSTEM
    if _is_hidden_or_temporary(path, root=root):
        return why_not_read("x.part")
    why_not = why_not_read(name)
    if why_not:
        return why_not
    if not os.path.isfile(path):
        return Reason.NOT_A_FILE, "neither a file nor a link to one"
    if not _is_utf8(path):
        return Reason.UNREADABLE, "the file name is not valid UTF-8; rename it"
    return None


def _is_hidden_or_temporary(path: str, *, root: Path) -> bool:
    parts = Path(path).relative_to(root).parts
    is_hidden = any(part.startswith(".") for part in parts) or is_of_system(parts)
    return is_hidden or ".temp." in parts[-1]


def _is_whole_file(path: str, *, root: Path) -> bool:
    is_file = os.path.isfile(path) and is_inside(path, root=root) and _is_utf8(path)
    return is_file and not _is_hidden_or_temporary(path, root=root)


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_inside(path: str | Path, *, root: Path) -> bool:
    """Whether `path`, links resolved, lies in `root`."""
    return Path(os.path.realpath(path)).is_relative_to(root)


def caption_of(class_name: str) -> str:
    """The prompt of a pair that brings none."""
    return made_caption([class_name])
