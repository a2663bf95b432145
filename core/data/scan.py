"""Candidate pairs of a folder, found by name alone; nothing is decoded and nothing is written.

Two layouts are understood (`LAYOUTS`). Every media file ends up in exactly one candidate or one
exclusion, so that included + excluded = input. Files that are no media (text, JSON) are not input.
"""

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from core.data.manifest import Item, Manifest, Reason, Status, excluded
from core.data.metadata import METADATA_PATTERNS, Row, read_metadata
from core.errors import DataError

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3"})
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
LEFTOVER_SUFFIXES = frozenset({".part", ".ytdl", ".webm", ".temp", ".tmp", ".crdownload"})
OTHER_MEDIA_SUFFIXES = frozenset(
    {".m4a", ".aac", ".wma", ".aif", ".aiff", ".mp4", ".mkv", ".avi", ".mov", ".heic", ".avif"}
)
AUDIO_FOLDERS = frozenset({"audio"})
IMAGE_FOLDERS = frozenset({"frames", "images"})
LAYOUTS = """understood layouts:
  1. metadata.json or *_metadata*.json: a list of
     {"video_id", "audio_path", "image_path", "class", "text"}, paths relative to the folder
  2. one folder a class: <class>/<name>.wav beside <class>/<name>.jpg,
     or <class>/audio/<name>.wav and <class>/frames/<name>.jpg"""


@dataclass(frozen=True)
class Scan:
    """What a source holds: pairs whose two files exist, and everything else with its reason."""

    root: Path
    """Absolute, links resolved; the paths of the items are relative to it."""
    items: tuple[Item, ...]
    """Candidates and exclusions, sorted by id."""
    classes: tuple[str, ...]
    """Every class the source names, also those without a candidate; sorted."""

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


def scan_folder(folder: Path) -> Scan:
    """Candidates and exclusions of `folder`, sorted.

    Raises: DataError when the folder is missing, empty, in no layout we know, or a metadata row
    is malformed.
    """
    if not folder.is_dir():
        raise DataError(f"no folder {folder}; expected a folder of media. {LAYOUTS}")
    root = folder.resolve()
    found = _walk(root)
    metadata = sorted({path for pattern in METADATA_PATTERNS for path in root.glob(pattern)})
    if metadata:
        scan = _scan_rows(root, read_metadata(metadata, root=root), found=found)
    else:
        scan = _scan_class_folders(root, found=found)
    if scan.num_input == 0:
        raise DataError(f"{folder} holds no media and no metadata row. {LAYOUTS}")
    return scan


@dataclass(frozen=True)
class _Found:
    audio: tuple[str, ...]
    images: tuple[str, ...]
    exclusions: tuple[Item, ...]


def _walk(root: Path) -> _Found:
    audio: list[str] = []
    images: list[str] = []
    exclusions: list[Item] = []
    for folder, subfolders, names in os.walk(root, onerror=_refuse_unreadable):
        subfolders.sort()
        for name in sorted(subfolders) + sorted(names):
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, root)
            is_folder = name in subfolders
            if is_folder and not os.path.islink(path):
                continue
            problem = _problem(path, root=root, is_folder=is_folder)
            if problem:
                printable = relative.encode("utf-8", "backslashreplace").decode()
                exclusions.append(excluded(printable, *problem))
            elif not is_folder:
                suffix = os.path.splitext(name)[1].lower()
                if suffix in AUDIO_SUFFIXES:
                    audio.append(relative)
                elif suffix in IMAGE_SUFFIXES:
                    images.append(relative)
    return _Found(tuple(audio), tuple(images), tuple(exclusions))


def _refuse_unreadable(error: OSError) -> None:
    raise DataError(f"the folder {error.filename} cannot be read ({error.strerror}); allow it")


def _problem(path: str, *, root: Path, is_folder: bool) -> tuple[Reason, str] | None:
    """Why a media file, or a link to a folder, cannot be part of a pair; None when it may."""
    name = os.path.basename(path)
    suffix = os.path.splitext(name)[1].lower()
    readable = AUDIO_SUFFIXES | IMAGE_SUFFIXES
    if not is_folder and suffix not in readable | LEFTOVER_SUFFIXES | OTHER_MEDIA_SUFFIXES:
        return None
    if os.path.islink(path) and not is_inside(path, root=root):
        return Reason.OUTSIDE_ROOT, "a symbolic link that leaves the data folder is not followed"
    if is_folder:
        return Reason.NOT_A_FILE, "a symbolic link to a folder is not followed"
    is_hidden = any(part.startswith(".") for part in Path(path).relative_to(root).parts)
    if is_hidden or suffix in LEFTOVER_SUFFIXES or ".temp." in name:
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
    try:
        path.encode()
    except UnicodeEncodeError:
        return Reason.UNREADABLE, "the file name is not valid UTF-8; rename it"
    return None


def is_inside(path: str | Path, *, root: Path) -> bool:
    """Whether `path`, links resolved, lies in `root`."""
    return Path(os.path.realpath(path)).is_relative_to(root)


def _scan_rows(root: Path, rows: tuple[Row, ...], *, found: _Found) -> Scan:
    candidates, used = [], set()
    row_exclusions: list[Item] = []
    for row in rows:
        paths: dict[str, str] = {}
        problems: list[tuple[Reason, str]] = []
        for kind, reason in (("audio", Reason.MISSING_AUDIO), ("image", Reason.MISSING_IMAGE)):
            given = row.audio_path if kind == "audio" else row.image_path
            lexical = Path(os.path.normpath(root / given))
            resolved = Path(os.path.realpath(root / given))
            if not resolved.is_relative_to(root):
                detail = f"the {kind} path {given!r} leaves the data folder"
                problems.append((Reason.OUTSIDE_ROOT, detail))
            elif not resolved.is_file():
                problems.append((reason, f"the {kind} file {given!r} does not exist"))
            paths[kind] = PurePosixPath(os.path.relpath(resolved, root)).as_posix()
            used |= {paths[kind], os.path.relpath(lexical, root)}
        if problems:
            detail = "; ".join(detail for _, detail in problems)
            row_exclusions.append(excluded(row.id, problems[0][0], detail, **_row_fields(row)))
        else:
            candidates.append(
                Item(
                    row.id,
                    Status.CANDIDATE,
                    audio_path=paths["audio"],
                    image_path=paths["image"],
                    **_row_fields(row),
                )
            )
    # A file that a row names counts with its row, once.
    loose = [exclusion for exclusion in found.exclusions if exclusion.id not in used]
    loose += [
        excluded(path, Reason.NOT_LISTED, "no metadata row names this file", **{field: path})
        for field, paths_found in (("audio_path", found.audio), ("image_path", found.images))
        for path in paths_found
        if path not in used
    ]
    return _scan(
        root, [*candidates, *row_exclusions, *loose], classes={row.class_name for row in rows}
    )


def _row_fields(row: Row) -> dict[str, Any]:
    return {
        "class_name": row.class_name,
        "source_label": row.class_name,
        "caption": row.caption,
        "source": row.id,
        "kind": "metadata",
        "origin": row.place,
        "attributes": row.attributes,
    }


def _scan_class_folders(root: Path, *, found: _Found) -> Scan:
    _refuse_unknown_classes(root, found=found)
    classes = {path.name for path in root.iterdir() if path.is_dir() and not path.is_symlink()}
    classes = {name for name in classes if not name.startswith(".")}
    exclusions = list(found.exclusions)
    pairs: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
    for index, (paths, folders) in enumerate(
        ((found.audio, AUDIO_FOLDERS), (found.images, IMAGE_FOLDERS))
    ):
        for path in paths:
            parts = PurePosixPath(path).parts
            is_nested = len(parts) == 3 and parts[1] in folders
            if len(parts) == 2 or is_nested:
                stem = PurePosixPath(path).stem
                pairs.setdefault((parts[0], stem), ([], []))[index].append(path)
            else:
                detail = "not in a class folder, nor in its audio, frames or images folder"
                exclusions.append(excluded(path, Reason.NOT_LISTED, detail))
    items = []
    for (class_name, stem), (audio, images) in sorted(pairs.items()):
        id_ = f"{class_name}.{stem}"
        known: dict[str, Any] = {
            "class_name": class_name,
            "source_label": class_name,
            "caption": caption_of(class_name),
            "source": stem,
            "kind": "classes",
            "origin": class_name,
            "audio_path": audio[0] if audio else None,
            "image_path": images[0] if images else None,
        }
        if len(audio) == len(images) == 1:
            items.append(Item(id_, Status.CANDIDATE, **known))
        elif not images:
            detail = f"no picture named {stem!r} for {', '.join(audio)}"
            items.append(excluded(id_, Reason.MISSING_IMAGE, detail, **known))
        elif not audio:
            detail = f"no sound named {stem!r} for {', '.join(images)}"
            items.append(excluded(id_, Reason.MISSING_AUDIO, detail, **known))
        else:
            detail = (
                f"more than one file for one pair: {', '.join(audio + images)}; keep one of each"
            )
            items.append(excluded(id_, Reason.SEVERAL_FILES, detail, **known))
    return _scan(root, [*items, *exclusions], classes=classes)


def caption_of(class_name: str) -> str:
    """The prompt of a pair that brings none."""
    return f"A scene with {class_name.replace('_', ' ')} sound"


def _refuse_unknown_classes(root: Path, *, found: _Found) -> None:
    tops = {PurePosixPath(path).parts[0] for path in (*found.audio, *found.images)}
    folders = {name for name in tops if (root / name).is_dir()}
    if tops and folders <= AUDIO_FOLDERS | IMAGE_FOLDERS:
        raise DataError(
            f"{root} has sounds and pictures, but nothing says which class each belongs to: "
            f"there is no metadata.json and no class folder. {LAYOUTS}"
        )


def _scan(root: Path, items: list[Item], *, classes: set[str]) -> Scan:
    ordered = sorted(items, key=lambda item: item.id)
    return Scan(root=root, items=tuple(ordered), classes=tuple(sorted(classes)))
