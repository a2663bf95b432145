"""The media files of a folder, found by name alone; nothing is decoded and nothing is written.

Every media file is either usable or excluded with its reason, so that included + excluded = input.
Files that are no media (text, JSON) are not input.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.data.manifest import Item, Manifest, Reason, Status, excluded
from core.errors import DataError

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3"})
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".avi", ".mov", ".webm"})
"""Read by the kinds of source that cut clips out of videos, refused by all others."""
LEFTOVER_SUFFIXES = frozenset({".part", ".ytdl", ".webm", ".temp", ".tmp", ".crdownload"})
OTHER_MEDIA_SUFFIXES = frozenset(
    {".m4a", ".aac", ".wma", ".aif", ".aiff", ".mp4", ".mkv", ".avi", ".mov", ".heic", ".avif"}
)
AUDIO_FOLDERS = frozenset({"audio"})
IMAGE_FOLDERS = frozenset({"frames", "images"})


@dataclass(frozen=True)
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
        return Manifest(self.root, self.items, self.num_input, named_classes=self.classes)


def make_scan(root: Path, items: Iterable[Item], *, classes: Iterable[str]) -> Scan:
    """A scan with its rows and classes in order."""
    ordered = sorted(items, key=lambda item: (item.id, item.origin or ""))
    return Scan(root=root, items=tuple(ordered), classes=tuple(sorted(set(classes))))


@dataclass(frozen=True)
class Found:
    """The media files of a folder; posix paths relative to it, sorted by folder and name."""

    audio: tuple[str, ...]
    images: tuple[str, ...]
    videos: tuple[str, ...]
    """Also among `exclusions`, for those who do not read videos."""
    exclusions: tuple[Item, ...]

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
    for folder, subfolders, names in os.walk(root, onerror=_refuse_unreadable):
        subfolders.sort()
        for name in sorted(subfolders) + sorted(names):
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, root)
            is_folder = name in subfolders
            if is_folder and not os.path.islink(path):
                continue
            suffix = os.path.splitext(name)[1].lower()
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
    return Found(tuple(audio), tuple(images), tuple(videos), tuple(exclusions))


def _refuse_unreadable(error: OSError) -> None:
    raise DataError(f"the folder {error.filename} cannot be read ({error.strerror}); allow it")


def _problem(path: str, *, root: Path, is_folder: bool) -> tuple[Reason, str] | None:
    """Why a media file, or a link to a folder, cannot be part of a pair; None when it may."""
    suffix = os.path.splitext(path)[1].lower()
    readable = AUDIO_SUFFIXES | IMAGE_SUFFIXES
    if not is_folder and suffix not in readable | LEFTOVER_SUFFIXES | OTHER_MEDIA_SUFFIXES:
        return None
    if os.path.islink(path) and not is_inside(path, root=root):
        return Reason.OUTSIDE_ROOT, "a symbolic link that leaves the data folder is not followed"
    if is_folder:
        return Reason.NOT_A_FILE, "a symbolic link to a folder is not followed"
    if suffix in LEFTOVER_SUFFIXES or _is_hidden_or_temporary(path, root=root):
        return (
            Reason.LEFTOVER,
            "a leftover of a download or of another program, not a finished file",
        )
    if suffix in OTHER_MEDIA_SUFFIXES:
        return (
            Reason.UNSUPPORTED_FORMAT,
            f"{suffix} files are not read; convert it to one of "
            f"{', '.join(sorted(AUDIO_SUFFIXES))} or {', '.join(sorted(IMAGE_SUFFIXES))}",
        )
    if not os.path.isfile(path):
        return Reason.NOT_A_FILE, "neither a file nor a link to one"
    if not _is_utf8(path):
        return Reason.UNREADABLE, "the file name is not valid UTF-8; rename it"
    return None


def _is_hidden_or_temporary(path: str, *, root: Path) -> bool:
    parts = Path(path).relative_to(root).parts
    return any(part.startswith(".") for part in parts) or ".temp." in parts[-1]


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
    return f"A scene with {class_name.replace('_', ' ')} sound"
