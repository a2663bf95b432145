"""One folder a class."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from core.data.ingest.captions import Captions
from core.data.ingest.endings import is_ours_to_read
from core.data.ingest.paired_folders import pair_item
from core.data.ingest.scan import (
    AUDIO_FOLDERS,
    IMAGE_FOLDERS,
    Found,
    Scan,
    caption_of,
    make_scan,
    not_listed,
)
from core.data.ingest.source import Options, Place, SourceKind
from core.data.items import Item, Reason, excluded
from core.text import canonical

_MISPLACED = "not in a class folder or its audio, frames or images folder"
_REPEATS = re.compile(r"\d+_(?P<name>.*\S.*)")


def _class_folders(place: Place) -> set[str]:
    """The folders that stand for a class: all but those of sounds and of pictures, or else what
    lies in these."""
    names = {name for name in _folders(place.resolved) if not (place.resolved / name).is_symlink()}
    if not _is_by_kind(place.found, names):
        return names
    return {inner for name in names for inner in _folders(place.resolved / name)}


def _folders(folder: Path) -> set[str]:
    """Names of the folders in it that may hold data."""
    return {path.name for path in folder.iterdir() if is_ours_to_read(path.name) and path.is_dir()}


def _is_by_kind(found: Found, names: set[str]) -> bool:
    """Whether it is `audio/<class>/a.wav` and `frames/<class>/a.jpg`."""
    if not names or not all(_holds_one_kind(name) for name in names):
        return False
    parts = [PurePosixPath(path).parts for path in (*found.audio, *found.images)]
    return bool(parts) and all(len(own) == 3 for own in parts)


def _holds_one_kind(folder: str) -> bool:
    return folder.lower() in AUDIO_FOLDERS | IMAGE_FOLDERS


def _claims(place: Place, options: Options) -> bool:
    if not place.is_folder or place.metadata_files or options.images is not None:
        return False
    if _is_by_kind(place.found, _folders(place.resolved)):
        return True
    names = {name for name in _class_folders(place) if not _holds_one_kind(name)}
    tops = {PurePosixPath(path).parts[0] for path in place.found.audio}
    return bool(names & tops) or (bool(names) and not place.found.videos)


def _class_and_stem(
    path: str, *, folders: frozenset[str], is_by_kind: bool
) -> tuple[str, str] | None:
    """Class folder and stem of a medium; None for one that lies elsewhere."""
    parts = PurePosixPath(path).parts
    stem = canonical(PurePosixPath(path).stem)
    if is_by_kind:
        return parts[1], stem
    if len(parts) == 2 or (len(parts) == 3 and parts[1].lower() in folders):
        return parts[0], stem
    return None


def _read(place: Place, options: Options) -> Scan:
    found, classes = place.found, _class_folders(place)
    is_by_kind = _is_by_kind(found, _folders(place.resolved))
    labels, notices = _labels(sorted(classes))
    captions = Captions.of(place.resolved, found)
    items: list[Item] = list(found.exclusions)
    pairs: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
    for index, (paths, folders, field) in enumerate(
        (
            (found.audio, AUDIO_FOLDERS, "audio_path"),
            (found.images, IMAGE_FOLDERS, "image_path"),
        )
    ):
        for path in paths:
            placed = _class_and_stem(path, folders=folders, is_by_kind=is_by_kind)
            if placed is None:
                items.append(not_listed(path, _MISPLACED, field=field))
                continue
            folder, stem = placed
            label = labels.get(folder, canonical(folder))
            pairs.setdefault((label, stem), ([], []))[index].append(path)
    for (label, stem), (audio, images) in sorted(pairs.items()):
        known: dict[str, Any] = {
            "class_name": label,
            "source_label": label,
            "source": stem,
            "origin": label,
        }
        try:
            texts = captions.all(*images, *audio)
        except ValueError as error:
            paths_of: dict[str, Any] = {
                "audio_path": audio[0] if audio else None,
                "image_path": images[0] if images else None,
            }
            items.append(
                excluded(f"{label}.{stem}", Reason.UNREADABLE, str(error), **known, **paths_of)
            )
            continue
        known["caption"] = texts[0] if texts else caption_of(label)
        known["captions"] = texts if len(texts) > 1 else ()
        items.append(pair_item(f"{label}.{stem}", audio, images, stem=stem, **known))
    names = [labels.get(name, name) for name in classes]
    return make_scan(place.resolved, items, classes=names, notices=[*notices, *captions.said()])


def _labels(folders: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Class by folder. `10_rain` is `rain` where every folder is named so: kohya's trainer takes
    the number for how often a picture is repeated."""
    found = {name: _REPEATS.fullmatch(name) for name in folders}
    labels = {name: canonical(match["name"].strip()) for name, match in found.items() if match}
    if not folders or len(labels) < len(folders) or len(set(labels.values())) < len(labels):
        return {}, []
    first = folders[0]
    return labels, [
        f"all class folders are named as number_name; {first!r} is read as the class "
        f"{labels[first]!r}, and the number, which some trainers take for repeats, is not used"
    ]


KIND = SourceKind(
    name="classes",
    summary="one folder per class: <class>/<name>.wav next to <class>/<name>.jpg, or "
    "<class>/audio/<name>.wav and <class>/frames/<name>.jpg, or audio/<class>/<name>.wav and "
    "frames/<class>/<name>.jpg",
    claims=_claims,
    read=_read,
)
