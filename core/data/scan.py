"""Candidate pairs of a folder, found by name alone; nothing is decoded and nothing is written.

Two layouts are understood (`LAYOUTS`). Every media file ends up in exactly one candidate or one
exclusion, so that included + excluded = input. Files that are no media (text, JSON) are not input.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from core.data.manifest import Exclusion, Reason
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
class Candidate:
    """A pair whose two files exist; what is in them is not known yet."""

    id: str
    class_name: str
    caption: str
    source: str
    audio_path: str
    """Posix path relative to the root, as `image_path`."""
    image_path: str
    attributes: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Scan:
    """What a folder holds."""

    root: Path
    """Absolute, links resolved."""
    candidates: tuple[Candidate, ...]
    exclusions: tuple[Exclusion, ...]
    classes: tuple[str, ...]
    """Every class the folder names, also those without a candidate; sorted."""

    @property
    def num_input(self) -> int:
        """Candidate pairs plus loose media files."""
        return len(self.candidates) + len(self.exclusions)


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
    exclusions: tuple[Exclusion, ...]


def _walk(root: Path) -> _Found:
    audio: list[str] = []
    images: list[str] = []
    exclusions: list[Exclusion] = []
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
                exclusions.append(Exclusion(printable, *problem))
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
    row_exclusions: list[Exclusion] = []
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
            row_exclusions.append(Exclusion(row.id, problems[0][0], detail))
        else:
            candidates.append(
                Candidate(
                    id=row.id,
                    class_name=row.class_name,
                    caption=row.caption,
                    source=row.id,
                    audio_path=paths["audio"],
                    image_path=paths["image"],
                    attributes=row.attributes,
                )
            )
    # A file that a row names counts with its row, once.
    loose = [exclusion for exclusion in found.exclusions if exclusion.subject not in used]
    loose += [
        Exclusion(path, Reason.NOT_LISTED, "no metadata row names this file")
        for path in (*found.audio, *found.images)
        if path not in used
    ]
    return _scan(root, candidates, row_exclusions + loose, classes={row.class_name for row in rows})


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
                exclusions.append(Exclusion(path, Reason.NOT_LISTED, detail))
    candidates = []
    for (class_name, stem), (audio, images) in sorted(pairs.items()):
        subject = f"{class_name}.{stem}"
        if len(audio) == len(images) == 1:
            candidates.append(
                Candidate(
                    id=subject,
                    class_name=class_name,
                    caption=f"A scene with {class_name.replace('_', ' ')} sound",
                    source=stem,
                    audio_path=audio[0],
                    image_path=images[0],
                )
            )
        elif not images:
            detail = f"no picture named {stem!r} for {', '.join(audio)}"
            exclusions.append(Exclusion(subject, Reason.MISSING_IMAGE, detail))
        elif not audio:
            detail = f"no sound named {stem!r} for {', '.join(images)}"
            exclusions.append(Exclusion(subject, Reason.MISSING_AUDIO, detail))
        else:
            detail = (
                f"more than one file for one pair: {', '.join(audio + images)}; keep one of each"
            )
            exclusions.append(Exclusion(subject, Reason.SEVERAL_FILES, detail))
    return _scan(root, candidates, exclusions, classes=classes)


def _refuse_unknown_classes(root: Path, *, found: _Found) -> None:
    tops = {PurePosixPath(path).parts[0] for path in (*found.audio, *found.images)}
    folders = {name for name in tops if (root / name).is_dir()}
    if tops and folders <= AUDIO_FOLDERS | IMAGE_FOLDERS:
        raise DataError(
            f"{root} has sounds and pictures, but nothing says which class each belongs to: "
            f"there is no metadata.json and no class folder. {LAYOUTS}"
        )


def _scan(
    root: Path, candidates: list[Candidate], exclusions: list[Exclusion], *, classes: set[str]
) -> Scan:
    return Scan(
        root=root,
        candidates=tuple(sorted(candidates, key=lambda candidate: candidate.id)),
        exclusions=tuple(sorted(exclusions, key=lambda exclusion: exclusion.subject)),
        classes=tuple(sorted(classes)),
    )
