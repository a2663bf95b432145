"""Clips that a person leaves out or calls by another class, with the reason, in a new manifest or
lock; the old one and every file of the user's stay as they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from core.data.items import DataKind, Item, Reason, Stage, Status
from core.data.manifest import Manifest
from core.data.splits.make import require_every_part
from core.data.splits.split import Part, Split
from core.errors import UsageError, suggestion

_MOST_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Correction:
    """What is changed of some clips."""

    ids: tuple[str, ...]
    """Which."""
    reason: str
    """Why, in the words of whoever decided it."""
    class_name: str | None = None
    """The class they belong to; None: they are left out."""
    caption: str | None = None
    """Their new caption; None: the old ones stay. Of a relabelled clip alone."""

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise UsageError("--reason is empty; say why, since the reason is kept with the clips")
        if not self.ids:
            raise UsageError("no clip was named; give ids, or --file with an id on each line")
        if self.class_name is not None and not self.class_name.strip():
            raise UsageError("the class is empty; name the one that the clips belong to")

    @property
    def sentence(self) -> str:
        """What was done, for a notice."""
        named = ", ".join(self.ids[:_MOST_NAMED]) + (", ..." if len(self.ids) > _MOST_NAMED else "")
        what = "left out" if self.class_name is None else f"relabelled as {self.class_name}"
        return f"{len(self.ids)} clips were {what} by hand ({named}): {self.reason.strip()}"


def corrected_manifest(manifest: Manifest, correction: Correction) -> Manifest:
    """The manifest with a correction; the reason is in each item's row.

    Raises:
        UsageError: an id that is not a usable pair of the manifest, or a class that a clip has
            already.
    """
    _require_classes(manifest.kind, correction)
    usable = {item.id: item for item in manifest.items if item.status is not Status.EXCLUDED}
    out = {item.id: item for item in manifest.items if item.status is Status.EXCLUDED}
    _require_known(correction.ids, usable, out={id_: str(out[id_].detail) for id_ in out})
    _require_change({id_: usable[id_].class_name for id_ in correction.ids}, correction)
    wanted = set(correction.ids)
    items = tuple(
        _corrected_item(item, correction)
        if item.id in wanted and item.status is not Status.EXCLUDED
        else item
        for item in manifest.items
    )
    return replace(manifest, items=items, notices=(*manifest.notices, correction.sentence))


def corrected_split(split: Split, correction: Correction) -> Split:
    """The split with a correction: every other clip stays in its part.

    Raises:
        UsageError: an id that is not in the split, or a class that a clip has already.
        DataError: a class that would no longer be in every part.
    """
    _require_classes(split.kind, correction)
    _require_known(correction.ids, split.samples, out={})
    _require_change({id_: split.samples[id_].class_name for id_ in correction.ids}, correction)
    wanted = set(correction.ids)
    samples, parts = dict(split.samples), split.parts
    if correction.class_name is None:
        samples = {id_: sample for id_, sample in samples.items() if id_ not in wanted}
        parts = {part: tuple(i for i in split.parts[part] if i not in wanted) for part in Part}
    else:
        for id_ in correction.ids:
            old = samples[id_]
            samples[id_] = replace(
                old, class_name=correction.class_name, caption=correction.caption or old.caption
            )
    changed = Split(
        root=split.root,
        samples=samples,
        parts=parts,
        rule=split.rule,
        notices=(*split.notices, correction.sentence),
        kind=split.kind,
    )
    require_every_part(changed)
    return changed


def _corrected_item(item: Item, correction: Correction) -> Item:
    known: Mapping[str, Any] = item.provenance or {}
    if correction.class_name is None:
        return replace(
            item,
            status=Status.EXCLUDED,
            reason=Reason.BY_HAND,
            detail=correction.reason.strip(),
            excluded_by=Stage.HAND,
        )
    relabelled = {"from": item.class_name, "reason": correction.reason.strip()}
    return replace(
        item,
        class_name=correction.class_name,
        caption=correction.caption or item.caption,
        provenance={**known, "relabelled": [*known.get("relabelled", []), relabelled]},
    )


def _require_known(ids: Sequence[str], known: Mapping[str, Any], *, out: Mapping[str, str]) -> None:
    for id_ in ids:
        if id_ in known:
            continue
        if id_ in out:
            raise UsageError(f"{id_!r} is left out already: {out[id_]}")
        raise UsageError(f"no clip has the id {id_!r}{suggestion(id_, known)}; nothing was changed")
    if len(set(ids)) < len(ids):
        twice = next(id_ for id_ in ids if ids.count(id_) > 1)
        raise UsageError(f"{twice!r} is named twice; name each clip once")


def _require_classes(kind: DataKind, correction: Correction) -> None:
    if correction.class_name is not None and kind is not DataKind.CLASSES:
        raise UsageError(
            f"the data have {kind.value}, so no clip has a class that could be changed; correct "
            "the lists that were ingested, or leave the clip out with harness data exclude"
        )


def _require_change(classes: Mapping[str, str | None], correction: Correction) -> None:
    for id_, class_name in classes.items():
        if correction.class_name is not None and class_name == correction.class_name:
            raise UsageError(f"{id_!r} is of class {class_name!r} already; nothing was changed")
