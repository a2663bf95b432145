"""A folder of sounds and a folder of pictures, paired by stem; the class comes from the user, or
there is none and the captions stand alone."""

import os
from pathlib import Path, PurePosixPath
from typing import Any

from core.data.ingest.captions import Captions
from core.data.ingest.scan import AUDIO_FOLDERS, IMAGE_FOLDERS, Scan, caption_of, make_scan
from core.data.ingest.source import Options, Place, SourceKind
from core.data.items import Item, Reason, Status, excluded
from core.errors import DataError
from core.text import canonical

_NO_CAPTION = "no class is given, and neither a text file next to it nor a list has its caption"
Pairs = dict[tuple[str, str], tuple[list[str], list[str]]]
"""Sounds and pictures by (the folder above `audio` or `frames`, stem)."""


def pairs_by_folder(audio: tuple[str, ...], images: tuple[str, ...]) -> Pairs:
    """Files that belong together: `x/audio/a.wav` and `x/frames/a.jpg`, or `x/a.wav` and `x/a.jpg`.

    Only the folder next to the file is looked through. Sorted by folder and stem.
    """
    pairs: Pairs = {}
    for index, (paths, folders) in enumerate(((audio, AUDIO_FOLDERS), (images, IMAGE_FOLDERS))):
        for path in paths:
            parent = PurePosixPath(path).parent
            above = parent.parent if parent.name.lower() in folders else parent
            key = (canonical(above.as_posix()), canonical(PurePosixPath(path).stem))
            pairs.setdefault(key, ([], []))[index].append(path)
    return dict(sorted(pairs.items()))


def pair_item(id_: str, audio: list[str], images: list[str], *, stem: str, **known: Any) -> Item:
    """A candidate where there is one file of each kind, else the exclusion that says why not."""
    known["audio_path"] = audio[0] if audio else None
    known["image_path"] = images[0] if images else None
    if len(audio) == len(images) == 1:
        return Item(id_, Status.CANDIDATE, **known)
    if not images:
        detail = f"no picture named {stem!r} for {', '.join(audio)}"
        return excluded(id_, Reason.MISSING_IMAGE, detail, **known)
    if not audio:
        detail = f"no sound named {stem!r} for {', '.join(images)}"
        return excluded(id_, Reason.MISSING_AUDIO, detail, **known)
    detail = f"more than one file for one pair: {', '.join(audio + images)}; keep one of each"
    return excluded(id_, Reason.SEVERAL_FILES, detail, **known)


def _claims(place: Place, options: Options) -> bool:
    if not place.is_folder or place.metadata_files:
        return False
    if not place.found.audio and not place.found.images:
        return False
    if options.images is not None:
        return True
    tops = {PurePosixPath(path).parts[0] for path in (*place.found.audio, *place.found.images)}
    folders = {name.lower() for name in tops if (place.resolved / name).is_dir()}
    has_classes_inside = bool(folders) and all(
        len(PurePosixPath(path).parts) == 3 for path in (*place.found.audio, *place.found.images)
    )
    return folders <= AUDIO_FOLDERS | IMAGE_FOLDERS and not has_classes_inside


def _read(place: Place, options: Options) -> Scan:
    captions = Captions.of(place.resolved, place.found)
    has_labels = options.has_labels or any(label for _, label in captions.rows.values())
    if not has_labels and not captions.rows and not captions.files:
        raise DataError(
            f"{place.path} has sounds and pictures, but no class is given for them, and no caption "
            "is next to them: pass --class NAME, or --label-file CSV with one row `stem,label` per "
            "pair, or add a metadata.json, a metadata.csv with file_name and label, or use one "
            "folder per class; captions alone may be in a.txt next to a.wav, or in captions.json"
        )
    if options.images is None:
        found, root = place.found, place.resolved
        pairs = pairs_by_folder(found.audio, found.images)
        exclusions = list(found.exclusions)
    else:
        root, pairs, exclusions = _two_folders(place, Place(options.images))
    items = []
    for (above, stem), (audio, images) in pairs.items():
        id_ = stem if above in ("", ".") else f"{above.replace('/', '.')}.{stem}"
        own = [_within(path, root=root, place=place) for path in (*images, *audio)]
        label = options.label(id_, stem, own=captions.label(*own))
        known: dict[str, Any] = {"source": stem, "origin": place.resolved.name}
        files: dict[str, Any] = {
            "audio_path": audio[0] if audio else None,
            "image_path": images[0] if images else None,
        }
        if label is None and has_labels:
            detail = f"the label file has no row for {stem!r}"
            items.append(excluded(id_, Reason.NO_LABEL, detail, **known, **files))
            continue
        known |= {"class_name": label, "source_label": label}
        try:
            texts = captions.all(*own)
        except ValueError as error:
            items.append(excluded(id_, Reason.UNREADABLE, str(error), **known, **files))
            continue
        if label is None and not texts and audio and images:
            items.append(excluded(id_, Reason.NO_CAPTION, _NO_CAPTION, **known, **files))
            continue
        known["caption"] = texts[0] if texts else label and caption_of(label)
        known["captions"] = texts if len(texts) > 1 else ()
        items.append(pair_item(id_, audio, images, stem=stem, **known))
    classes = {item.class_name for item in items if item.class_name}
    return make_scan(
        root, [*items, *exclusions], classes=classes, notices=captions.said(has_labels=has_labels)
    )


def _within(path: str, *, root: Path, place: Place) -> str:
    """`path`, which is relative to `root`, as seen from the place of the source."""
    if root == place.resolved:
        return path
    return Path(os.path.relpath(root / path, place.resolved)).as_posix()


def _two_folders(sounds: Place, pictures: Place) -> tuple[Path, Pairs, list[Item]]:
    """Common root, pairs by stem with paths relative to it, and what is excluded by name."""
    from core.data.ingest.merge import common_folder, rebased

    if not pictures.is_folder:
        raise DataError(f"no folder {pictures.path}; --images takes a folder of pictures")
    root = common_folder([sounds.resolved, pictures.resolved])
    pairs: Pairs = {}
    exclusions: list[Item] = []
    for index, place in enumerate((sounds, pictures)):
        mine, other = (
            (place.found.audio, place.found.images),
            (place.found.images, place.found.audio),
        )[index]
        for path in mine:
            stem = canonical(PurePosixPath(path).stem)
            relative = (place.resolved / path).relative_to(root).as_posix()
            pairs.setdefault(("", stem), ([], []))[index].append(relative)
        wrong = "a picture in the folder of sounds" if index == 0 else "a sound among the pictures"
        field = "image_path" if index == 0 else "audio_path"
        loose: list[dict[str, Any]] = [{field: path} for path in other]
        misplaced = [
            excluded(str(known[field]), Reason.NOT_LISTED, wrong, **known) for known in loose
        ]
        exclusions += [
            rebased(item, old=place.resolved, new=root)
            for item in (*place.found.exclusions, *misplaced)
        ]
    return root, dict(sorted(pairs.items())), exclusions


KIND = SourceKind(
    name="pairs",
    summary="a folder with audio/ and frames/ or images/ (or a folder of sounds and --images DIR), "
    "paired by stem; the class comes from --class or --label-file, or there are captions alone",
    claims=_claims,
    read=_read,
)
