"""One folder a class."""

from pathlib import PurePosixPath
from typing import Any

from core.data.ingest.paired_folders import pair_item
from core.data.ingest.scan import (
    AUDIO_FOLDERS,
    IMAGE_FOLDERS,
    Scan,
    caption_of,
    make_scan,
    not_listed,
)
from core.data.ingest.source import Options, Place, SourceKind
from core.data.manifest import Item

_MISPLACED = "not in a class folder, nor in its audio, frames or images folder"


def _class_names(place: Place) -> set[str]:
    folders = (path for path in place.resolved.iterdir() if path.is_dir() and not path.is_symlink())
    return {path.name for path in folders if not path.name.startswith(".")}


def _claims(place: Place, options: Options) -> bool:
    if not place.is_folder or place.metadata_files or options.images is not None:
        return False
    names = _class_names(place) - AUDIO_FOLDERS - IMAGE_FOLDERS
    tops = {PurePosixPath(path).parts[0] for path in place.found.audio}
    return bool(names & tops) or (bool(names) and not place.found.videos)


def _read(place: Place, options: Options) -> Scan:
    found, classes = place.found, _class_names(place)
    items: list[Item] = list(found.exclusions)
    pairs: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
    for index, (paths, folders, field) in enumerate(
        (
            (found.audio, AUDIO_FOLDERS, "audio_path"),
            (found.images, IMAGE_FOLDERS, "image_path"),
        )
    ):
        for path in paths:
            parts = PurePosixPath(path).parts
            is_nested = len(parts) == 3 and parts[1] in folders
            if len(parts) == 2 or is_nested:
                stem = PurePosixPath(path).stem
                pairs.setdefault((parts[0], stem), ([], []))[index].append(path)
            else:
                items.append(not_listed(path, _MISPLACED, field=field))
    for (label, stem), (audio, images) in sorted(pairs.items()):
        known: dict[str, Any] = {
            "class_name": label,
            "source_label": label,
            "caption": caption_of(label),
            "source": stem,
            "origin": label,
        }
        items.append(pair_item(f"{label}.{stem}", audio, images, stem=stem, **known))
    return make_scan(place.resolved, items, classes=classes)


KIND = SourceKind(
    name="classes",
    summary="one folder a class: <class>/<name>.wav beside <class>/<name>.jpg, or "
    "<class>/audio/<name>.wav and <class>/frames/<name>.jpg",
    claims=_claims,
    read=_read,
)
