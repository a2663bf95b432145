"""Several scans become one: one root, unique ids, labels mapped to classes."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from core.data.ingest.scan import Scan, caption_of, make_scan
from core.data.items import Item, Reason, Stage, Status
from core.data.labels import LabelMap


def common_folder(folders: Sequence[Path]) -> Path:
    """The lowest folder that holds all of `folders`, which are absolute."""
    return Path(os.path.commonpath(folders))


def rebased(item: Item, *, old: Path, new: Path) -> Item:
    """`item` with its paths relative to `new`, a folder above `old`.

    An item without an origin is a loose file, whose id is its path.
    """
    prefix = old.relative_to(new)

    def moved(path: str) -> str:
        return (PurePosixPath(prefix.as_posix()) / path).as_posix()

    return replace(
        item,
        id=item.id if item.origin is not None else moved(item.id),
        audio_path=None if item.audio_path is None else moved(item.audio_path),
        image_path=None if item.image_path is None else moved(item.image_path),
    )


def joined(scans: Sequence[Scan]) -> Scan:
    """One scan of all; ids are not looked at. A single scan keeps its root.

    Lists may share a folder of media: a file that one of them names is not loose for another, and
    one that none names counts once.
    """
    if len(scans) == 1:
        return scans[0]
    root = common_folder([scan.root for scan in scans])
    counted = set().union(*(scan.named_files for scan in scans))
    items = []
    for scan in scans:
        for item in scan.items:
            if item.origin is None:
                path = str(scan.root / item.id)
                if path in counted:
                    continue
                counted.add(path)
            items.append(rebased(item, old=scan.root, new=root))
    classes = sorted({name for scan in scans for name in scan.classes})
    named_files = frozenset[str]().union(*(scan.named_files for scan in scans))
    notices = tuple(dict.fromkeys(notice for scan in scans for notice in scan.notices))
    return Scan(
        root=root,
        items=tuple(items),
        classes=tuple(classes),
        named_files=named_files,
        notices=notices,
    )


def with_unique_ids(scan: Scan) -> Scan:
    """Candidates of one id, in order: a word-for-word repetition is left out, others are renamed.

    The second pair of an id is called `ID~2`, the third `ID~3`; the sources, by which a split is
    grouped, stay equal, so the clips of one video stay together under all their names.
    """
    first: dict[str, list[Item]] = {}
    taken = {item.id for item in scan.items if item.status is Status.CANDIDATE}
    items: list[Item] = []
    for item in scan.items:
        if item.status is not Status.CANDIDATE:
            items.append(item)
            continue
        known = first.setdefault(item.id, [])
        same = next((other for other in known if _is_same_pair(item, other)), None)
        known.append(item)
        if same is not None:
            items.append(_repetition(item, same))
            continue
        number, id_ = len(known), item.id
        while number > 1 and (id_ := f"{item.id}~{number}") in taken:
            number += 1
        taken.add(id_)
        items.append(replace(item, id=id_))
    return make_scan(scan.root, items, classes=scan.classes, notices=scan.notices)


def _is_same_pair(item: Item, other: Item) -> bool:
    names = (
        *("audio_path", "image_path", "class_name", "caption", "source", "official_split"),
        *("labels", "captions"),
    )
    return all(getattr(item, name) == getattr(other, name) for name in names)


def _repetition(item: Item, other: Item) -> Item:
    return replace(
        item,
        status=Status.EXCLUDED,
        reason=Reason.REPEATED,
        detail=f"the same pair as {other.id!r} of {other.origin}, which counts",
        excluded_by=Stage.INGEST,
    )


def with_classes(scan: Scan, labels: LabelMap | None) -> Scan:
    """Every label replaced by its class; a candidate whose label has none is left out.

    A caption that was made from the label is made from the class instead.
    """
    if labels is None:
        return scan
    classes = {labels.class_of(name) for name in scan.classes}
    items = [_mapped(item, labels) for item in scan.items]
    names = [name for name in classes if name is not None]
    return make_scan(scan.root, items, classes=names, notices=scan.notices)


def _mapped(item: Item, labels: LabelMap) -> Item:
    if item.labels:
        return _all_mapped(item, labels)
    if item.source_label is None:
        return item
    class_name = labels.class_of(item.source_label)
    if class_name is None:
        return _unmapped(replace(item, class_name=None), labels.why_unmapped(item.source_label))
    has_own_caption = item.caption != caption_of(item.source_label)
    caption = item.caption if has_own_caption else caption_of(class_name)
    return replace(item, class_name=class_name, caption=caption)


def _all_mapped(item: Item, labels: LabelMap) -> Item:
    """The item with the classes that its labels mean; labels that mean none are dropped."""
    known = {labels.class_of(label) for label in item.labels}
    found = tuple(sorted(name for name in known if name is not None))
    before = "; ".join(item.labels)
    if found:
        return replace(item, labels=found, source_label=before)
    without = replace(item, labels=(), source_label=before)
    return _unmapped(without, labels.why_unmapped(item.labels[0]))


def _unmapped(item: Item, why: str) -> Item:
    """The item left out, unless it was for another reason already."""
    if item.status is Status.EXCLUDED:
        return item
    return replace(
        item,
        status=Status.EXCLUDED,
        reason=Reason.UNMAPPED_LABEL,
        detail=why,
        excluded_by=Stage.INGEST,
    )


def of_kind(items: Iterable[Item], kind: str) -> tuple[Item, ...]:
    """The items with the name of their kind of source."""
    return tuple(replace(item, kind=kind) for item in items)
