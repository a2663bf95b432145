"""A folder with the user's own `metadata.json`, `metadata_*.json` or `*_metadata*.json`."""

import os
from collections import Counter, defaultdict
from pathlib import Path, PurePosixPath
from typing import Any

from core.data.ingest.captions import unread
from core.data.ingest.metadata_rows import Row, read_metadata
from core.data.ingest.paired_folders import pairs_by_folder
from core.data.ingest.row_labels import unheard_notice
from core.data.ingest.scan import Found, Scan, make_scan, not_listed
from core.data.ingest.source import Options, Place, SourceKind
from core.data.items import Item, Reason, Status, excluded
from core.errors import DataError
from core.text import canonical

_NO_ROW = "no metadata row names it"


def _claims(place: Place, options: Options) -> bool:
    if place.is_folder:
        return bool(place.metadata_files)
    return place.resolved.suffix.lower() in (".json", ".jsonl")


def _read(place: Place, options: Options) -> Scan:
    root = place.resolved if place.is_folder else place.resolved.parent
    files = place.metadata_files if place.is_folder else [place.resolved]
    if not files:
        raise DataError(f"{place.path} holds no metadata.json, metadata_*.json or *_metadata*.json")
    found = place.found if place.is_folder else Place(root).found
    rows = read_metadata(files, root=root)
    on_disk = _OnDisk(root, found)
    items, used = [], set()
    for row in rows:
        item, named = _item(row, root=root, on_disk=on_disk)
        items.append(item)
        used |= named
    known = {row.id for row in rows} | {canonical(PurePosixPath(path).stem) for path in used}
    # A file that a row names counts with its row, once.
    items += [item for item in found.exclusions if item.id not in used]
    items += _unlisted(found, used=used, known=known)
    notices = [*on_disk.notices(), *unread(found, because=f"captions come from {files[0].name}")]
    notices += unheard_notice([row.flags for row in rows])
    classes = {row.class_name for row in rows if row.class_name is not None}
    return make_scan(root, items, classes=classes, notices=notices)


class _OnDisk:
    """Finds the file that a list means, where the disk spells its path in another way."""

    def __init__(self, root: Path, found: Found) -> None:
        self._root = root
        self._paths: dict[str, set[str]] = defaultdict(set)
        for path in (*found.audio, *found.images, *(item.id for item in found.exclusions)):
            for key in {canonical(path), canonical(path).casefold()}:
                self._paths[key].add(path)
        self._ways: Counter[str] = Counter()

    def path(self, given: str) -> str:
        """`given`, or the one path of the disk that differs from it in Unicode form, slashes or
        letter case alone."""
        if os.path.exists(self._root / given):
            return given
        for way, text in (
            ("in another Unicode form", given),
            ("with backslashes", given.replace("\\", "/")),
        ):
            key = canonical(os.path.normpath(text))
            if "\\" not in key and os.path.exists(self._root / key):
                self._ways[way] += 1
                return key
            for form, case in ((key, ""), (key.casefold(), " or letter case")):
                if len(self._paths.get(form, ())) == 1:
                    self._ways[way + case] += 1
                    return next(iter(self._paths[form]))
        return given

    def notices(self) -> list[str]:
        """How many paths were written in another way."""
        return [
            f"{count} paths of the list are written {way}; the disk's spelling is used"
            for way, count in self._ways.items()
        ]


def _item(row: Row, *, root: Path, on_disk: _OnDisk) -> tuple[Item, set[str]]:
    """The row's item, and the files it names relative to `root`."""
    paths: dict[str, str] = {}
    used: set[str] = set()
    problems: list[tuple[Reason, str]] = []
    for kind, given, reason in (
        ("audio", row.audio_path, Reason.MISSING_AUDIO),
        ("image", row.image_path, Reason.MISSING_IMAGE),
    ):
        meant = on_disk.path(given)
        lexical = Path(os.path.normpath(root / meant))
        resolved = Path(os.path.realpath(root / meant))
        relative = PurePosixPath(os.path.relpath(resolved, root)).as_posix()
        if not resolved.is_relative_to(root):
            problems.append(
                (Reason.OUTSIDE_ROOT, f"the {kind} path {given!r} leaves the data folder")
            )
        elif not os.path.isfile(resolved):
            problems.append((reason, f"the {kind} file {given!r} does not exist"))
        else:
            paths[f"{kind}_path"] = relative
        used |= {relative, os.path.relpath(lexical, root)}
    known: dict[str, Any] = {
        **paths,
        "class_name": row.class_name,
        "source_label": row.class_name,
        "caption": row.caption,
        "source": row.id,
        "origin": row.place,
        "attributes": row.attributes,
        "official_split": row.official_split,
        "labels": row.labels,
        "captions": row.captions,
        "provenance": {"labels": [flag.data() for flag in row.flags]} if row.flags else None,
    }
    if problems:
        detail = "; ".join(detail for _, detail in problems)
        return excluded(row.id, problems[0][0], detail, **known), used
    return Item(row.id, Status.CANDIDATE, **known), used


def _unlisted(found: Found, *, used: set[str], known: set[str]) -> list[Item]:
    """Files that no row names. A pair of them is a candidate without a class: cleaning looks at
    it, so that a broken clip is told as broken, and leaves it out all the same."""
    audio = tuple(path for path in found.audio if path not in used)
    images = tuple(path for path in found.images if path not in used)
    items = []
    for (_, stem), (sounds, pictures) in pairs_by_folder(audio, images).items():
        if len(sounds) == len(pictures) == 1:
            known_of: dict[str, Any] = {"audio_path": sounds[0], "image_path": pictures[0]}
            items.append(Item(sounds[0], Status.CANDIDATE, source=stem, **known_of))
            continue
        has_one_kind = not sounds or not pictures
        for field, reason, paths in (
            ("audio_path", Reason.MISSING_IMAGE, sounds),
            ("image_path", Reason.MISSING_AUDIO, pictures),
        ):
            for path in paths:
                if has_one_kind and stem not in known:
                    what = "picture" if field == "audio_path" else "sound"
                    detail = f"no {what} named {stem!r} is next to it, and {_NO_ROW}"
                    path_of: dict[str, Any] = {field: path}
                    items.append(excluded(path, reason, detail, **path_of))
                else:
                    items.append(not_listed(path, _NO_ROW, field=field))
    return items


KIND = SourceKind(
    name="metadata",
    summary="a folder with metadata.json or *_metadata*.json: a list of "
    '{"video_id", "audio_path", "image_path", "class", "text"}, paths relative to the folder '
    "(also id, frame_path, category, caption; split); labels as a list, or captions alone",
    claims=_claims,
    read=_read,
)
