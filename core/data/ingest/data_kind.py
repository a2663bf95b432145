"""Which kind the data are: classes, labels or captions; and each item as one of that kind."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from core.data.items import DataKind, Item, Reason, Stage, Status


@dataclass(frozen=True)
class OfKind:
    """The items of a data set that is of one kind."""

    kind: DataKind
    """Of all of them."""
    items: tuple[Item, ...]
    """In the order they were given."""
    notices: tuple[str, ...]
    """What a reader should know of it, as sentences."""


def of_one_kind(items: Sequence[Item]) -> OfKind:
    """The items as those of one kind of data, as many as were given.

    Several labels of one clip make all of them labels, a class of one clip makes all of them
    classes; a pair that then has none is left out. Captions alone are so where none has any.
    """
    candidates = [item for item in items if item.status is Status.CANDIDATE]
    if any(item.labels for item in items):
        return _labelled(items)
    if any(item.class_name is not None for item in items):
        return _classed(items)
    if not any(item.caption for item in candidates):
        return OfKind(DataKind.CLASSES, tuple(items), ())
    notices = [
        "no pair has a class or a label: the data have captions alone, so they are split, "
        "compared and controlled by their captions"
    ]
    if more := sum(len(item.captions) > 1 for item in candidates):
        notices.append(
            f"{more} pairs have several captions; the first of each is the prompt, all are kept"
        )
    return OfKind(DataKind.CAPTIONS, tuple(items), tuple(notices))


def made_caption(labels: Iterable[str]) -> str:
    """The prompt of a pair that brings none: its class, or all its labels."""
    names = [label.replace("_", " ") for label in labels]
    listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    return f"A scene with {listed} sound"


def num_captions(items: Iterable[Item]) -> int:
    """Captions of the kept pairs, without those that are made of a class or of labels."""
    return sum(
        max(1, len(item.captions)) for item in items if is_kept(item) and not _has_made(item)
    )


def num_labels(items: Iterable[Item]) -> int:
    """How many different classes or labels the kept pairs have."""
    return len({name for i in items if is_kept(i) for name in i.names})


def is_kept(item: Item) -> bool:
    """Whether it is a pair that something lists and nothing left out."""
    return item.status is not Status.EXCLUDED and item.is_listed


def _has_made(item: Item) -> bool:
    return not item.caption or (bool(item.names) and item.caption == made_caption(item.names))


def _labelled(items: Sequence[Item]) -> OfKind:
    found = []
    for item in items:
        if not item.labels and item.class_name is not None:
            item = replace(item, labels=(item.class_name,), class_name=None)
        if item.labels and item.caption is None:
            item = replace(item, caption=made_caption(item.labels))
        found.append(_required(item, has_name=bool(item.labels), what="label"))
    made = sum(is_kept(item) and _has_made(item) for item in found)
    notices = ["the data have several labels a clip; splits and scores are by label"]
    if made:
        notices.append(f"{made} pairs have no caption; theirs is made from their labels")
    return OfKind(DataKind.LABELS, tuple(found), tuple(notices))


def _classed(items: Sequence[Item]) -> OfKind:
    more = sum(max(0, len(item.captions) - 1) for item in items)
    found = [
        _required(
            replace(item, captions=()) if item.captions else item,
            has_name=item.class_name is not None,
            what="class",
        )
        for item in items
    ]
    left = f"{more} further captions of a clip are not read; the first counts"
    return OfKind(DataKind.CLASSES, tuple(found), (left,) if more else ())


def _required(item: Item, *, has_name: bool, what: str) -> Item:
    if has_name or item.status is not Status.CANDIDATE or not item.is_listed:
        return item
    return replace(
        item,
        status=Status.EXCLUDED,
        reason=Reason.NO_LABEL,
        detail=f"it has no {what}, but other pairs have one; add it, or pass --label-file",
        excluded_by=Stage.INGEST,
    )
