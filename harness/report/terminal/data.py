"""What `harness data ingest` and `harness data show` print: a manifest for a person, or as JSON."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from core.data.ingest.data_kind import is_kept, num_captions, num_labels
from core.data.items import DataKind, Item, Reason, Status
from core.data.manifest import MANIFEST_FILE, Manifest
from core.errors import UsageError, suggestion
from core.text import canonical
from harness.wording.plain_text import plain

if TYPE_CHECKING:
    from core.data.ingest.ingest import Ingested

_NO_CLASS = "(no class)"
_NAMES = {DataKind.CLASSES: "classes", DataKind.LABELS: "labels"}
_MAX_CLASSES = 40
"""Rows of the table for a person; a list of all of VGGSound names 309 labels."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which rows of a manifest are shown; None for no condition."""

    class_name: str | None = None
    status: Status | None = None
    reason: Reason | None = None
    flag: str | None = None
    id: str | None = None
    page: int = 1
    """From 1."""
    rows: int = 20
    """Rows a page."""

    def matching(self, manifest: Manifest) -> list[Item]:
        """The rows that meet every condition. Raises: UsageError for a name nothing has."""
        self._require_known(manifest)
        class_name = None if self.class_name is None else canonical(self.class_name)
        ids = {self.id, None if self.id is None else canonical(self.id)}
        return [
            item
            for item in manifest.items
            if (class_name is None or class_name in item.names)
            and (self.status is None or item.status is self.status)
            and (self.reason is None or item.reason is self.reason)
            and (self.flag is None or self.flag in item.flags)
            and (self.id is None or item.id in ids)
        ]

    def _require_known(self, manifest: Manifest) -> None:
        named: tuple[tuple[str, str | None, set[str]], ...] = (
            ("class", self.class_name, _classes(manifest)),
            ("flag", self.flag, {flag for item in manifest.items for flag in item.flags}),
            ("id", self.id, {item.id for item in manifest.items} if self.id is not None else set()),
        )
        for what, value, known in named:
            if value is not None and known.isdisjoint({value, canonical(value)}):
                raise UsageError(
                    f"no item of {what} {value!r} in the manifest{suggestion(value, known)}"
                )


def _classes(manifest: Manifest) -> set[str]:
    own = {name for item in manifest.items for name in item.names}
    return own | set(manifest.named_classes)


def ingested_data(found: "Ingested", *, folder: Path) -> dict[str, Any]:
    """What an ingest did, for scripts."""
    items = found.manifest.items
    return {
        "kind": found.manifest.kind.value,
        "kept": sum(map(is_kept, items)),
        "excluded": len(found.manifest.exclusions),
        "captions": num_captions(items),
        "labels": num_labels(items),
        **_summary_data(found.manifest, folder=folder),
        "unchanged": found.is_unchanged,
        "num_new": found.num_new,
        "num_gone": found.num_gone,
    }


def ingested(found: "Ingested", *, folder: Path) -> RenderableType:
    """The same for a person, with what to do next."""
    if found.is_unchanged:
        news = "nothing changed since the last ingest; the folder is unchanged"
    elif found.num_gone or found.num_new < found.manifest.num_input:
        news = f"brought up to date: {found.num_new} new items, {found.num_gone} gone"
    else:
        news = ""
    is_cleaned = found.manifest.cleaning is not None
    follow = f"next: harness data {'split' if is_cleaned else 'clean'} {plain(folder)}"
    parts: list[RenderableType] = [*_summary(found.manifest, folder=folder)]
    parts += [Text(line) for line in (news, follow) if line]
    return Group(*parts)


def manifest_data(manifest: Manifest, *, folder: Path, choice: Choice) -> dict[str, Any]:
    """Counts and the chosen page of rows, for scripts."""
    matching = choice.matching(manifest)
    first = (choice.page - 1) * choice.rows
    return {
        **_summary_data(manifest, folder=folder),
        "num_matching": len(matching),
        "page": choice.page,
        "items": [_item_data(item) for item in matching[first : first + choice.rows]],
    }


def manifest(manifest: Manifest, *, folder: Path, choice: Choice) -> RenderableType:
    """The same for a person."""
    matching = choice.matching(manifest)
    if choice.id is not None:
        return Group(*(_item_view(item) for item in matching))
    first = (choice.page - 1) * choice.rows
    shown = matching[first : first + choice.rows]
    parts: list[RenderableType] = [*_summary(manifest, folder=folder)]
    if shown:
        last = first + len(shown)
        title = f"Items {first + 1} to {last} of {len(matching)}"
        if last < len(matching):
            title += f" (--page {choice.page + 1} for more, --id ID for everything about one)"
        parts.append(_rows_table(shown, title=title))
    elif choice.rows:
        parts.append(Text(f"no items on page {choice.page}; {len(matching)} match the conditions"))
    return Group(*parts)


def _summary_data(manifest: Manifest, *, folder: Path) -> dict[str, Any]:
    statuses = Counter(item.status for item in manifest.items)
    return {
        "folder": str(folder),
        "manifest": str(folder / MANIFEST_FILE),
        "root": str(manifest.root),
        "num_input": manifest.num_input,
        "status": {status.value: statuses[status] for status in Status},
        "cleaned": manifest.cleaning is not None,
        "kinds": dict(sorted(Counter(item.kind or "" for item in manifest.items).items())),
        "classes": _class_table(manifest),
        "reasons": {reason.value: count for reason, count in manifest.reason_counts().items()},
        "flags": dict(sorted(Counter(f for item in manifest.items for f in item.flags).items())),
        "notices": list(manifest.notices),
    }


def _class_table(manifest: Manifest) -> dict[str, dict[str, int]]:
    """Items per class or label by status; those without one under an empty name, last."""
    counts = Counter(
        (name, item.status) for item in manifest.items for name in item.names or (None,)
    )
    names = sorted(_classes(manifest))
    table = {name: {status.value: counts[name, status] for status in Status} for name in names}
    rest = {status.value: counts[None, status] for status in Status}
    return {**table, "": rest} if any(rest.values()) else table


def _summary(manifest: Manifest, *, folder: Path) -> list[RenderableType]:
    data = _summary_data(manifest, folder=folder)
    statuses = ", ".join(f"{count} {name}" for name, count in data["status"].items() if count)
    lines = [
        f"{manifest.num_input} items: {statuses}",
        _kind_line(manifest),
        f"manifest: {plain(data['manifest'])}",
        f"media: {plain(data['root'])}",
    ]
    parts: list[RenderableType] = [Text("\n".join(lines))]
    if manifest.kind is DataKind.CAPTIONS:
        data["classes"] = {}
    else:
        parts.append(_counts_table(data["classes"], kind=manifest.kind))
    if len(data["classes"]) > _MAX_CLASSES:
        num_left = len(data["classes"]) - _MAX_CLASSES
        parts.append(
            Text(f"and {num_left} {_NAMES[manifest.kind]} with fewer pairs; --class NAME shows one")
        )
    if manifest.exclusions:
        parts.append(_reasons_table(manifest))
    parts += [Text(f"notice: {plain(line)}", style="yellow") for line in manifest.notices]
    if data["flags"]:
        flags = ", ".join(f"{name} {count}" for name, count in data["flags"].items())
        parts.append(Text(f"flags: {flags}"))
    return parts


def _kind_line(manifest: Manifest) -> str:
    items = manifest.items
    captions = f"{num_captions(items)} captions"
    if manifest.kind is DataKind.CAPTIONS:
        return f"kind: captions alone, {captions} of {sum(map(is_kept, items))} pairs"
    return f"kind: {num_labels(items)} {_NAMES[manifest.kind]}, {captions}"


def _counts_table(classes: Mapping[str, Mapping[str, int]], *, kind: DataKind) -> Table:
    used = [s.value for s in Status if any(row[s.value] for row in classes.values())]
    what = "label" if kind is DataKind.LABELS else "class"
    table = Table(what, *used, title=f"Items per {what}", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    shown = list(classes.items())
    if len(shown) > _MAX_CLASSES:
        left = Status.EXCLUDED.value
        shown.sort(key=lambda pair: -sum(pair[1].values()) + pair[1][left])
        shown = shown[:_MAX_CLASSES]
    for name, row in shown:
        table.add_row(Text(plain(name) or _NO_CLASS), *[str(row[status]) for status in used])
    return table


def _reasons_table(manifest: Manifest) -> Table:
    first = {item.reason: item for item in reversed(manifest.exclusions)}
    table = Table("reason", "items", "such as", title="Why items are out", title_justify="left")
    table.columns[1].justify = "right"
    for reason, count in manifest.reason_counts().items():
        item = first[reason]
        example = f"{plain(item.id)}: {plain(item.detail or '')}"
        table.add_row(reason.value, str(count), Text(example, overflow="fold"))
    return table


def _rows_table(items: list[Item], *, title: str) -> Table:
    table = Table("id", "status", "class", "why", "flags", title=title, title_justify="left")
    for item in items:
        why = f"{item.reason.value}: {item.detail}" if item.reason else ""
        table.add_row(
            Text(plain(item.id), overflow="fold"),
            item.status.value,
            Text(plain(", ".join(item.names))),
            Text(plain(why), overflow="fold"),
            ", ".join(item.flags),
        )
    return table


def _item_view(item: Item) -> RenderableType:
    lines = [
        f"{name}: {plain(value)}"
        for name, value in _item_data(item).items()
        if value is not None and value != []
    ]
    return Text("\n".join(lines))


def _item_data(item: Item) -> dict[str, Any]:
    return {entry.name: _json_value(getattr(item, entry.name)) for entry in fields(Item)}


def _json_value(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None  # the level of digital silence; JSON has no infinity
    return list(value) if isinstance(value, tuple) else value
