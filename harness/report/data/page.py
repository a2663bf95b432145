"""The page of a cleaned folder: counts, examples of each reason, what the kept pairs are like."""

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from core.data.items import SELECTION_REASONS, DataKind, Item, Reason, Status
from core.data.manifest import Manifest
from core.data.media.quality import MEANINGS, Flag, flag_sentence
from core.files import write_atomic
from harness.data.clean import PAGE_FILE, num_media_files
from harness.report.data.examples import ExampleMaker
from harness.report.data.histograms import histograms
from harness.report.page.content import (
    Cell,
    Column,
    Example,
    Examples,
    Head,
    Paragraph,
    Part,
    Section,
    Table,
)
from harness.report.page.media import MediaStore
from harness.report.page.page import Page
from harness.wording.numbers import count, plain

_MAX_MEDIA_BYTES = 6 << 20
_EXAMPLES_A_REASON = 3
_MAX_CLASSES_SHOWN = 24

REASON_TITLES = {
    Reason.MISSING_AUDIO: "No sound for the picture",
    Reason.MISSING_IMAGE: "No picture for the sound",
    Reason.SEVERAL_FILES: "More than one file for one pair",
    Reason.NOT_LISTED: "Not named by any list",
    Reason.LEFTOVER: "Leftover of a download",
    Reason.SYSTEM_FILE: "File of an operating system",
    Reason.OUTSIDE_ROOT: "Path or link that leaves the folder",
    Reason.NOT_A_FILE: "Not a file",
    Reason.UNREADABLE: "Cannot be read",
    Reason.UNSUPPORTED_FORMAT: "Format that is not supported",
    Reason.UNKNOWN_ENDING: "Kind of file that is not supported",
    Reason.EMPTY_AUDIO: "Header without sound",
    Reason.UNDECODABLE_AUDIO: "Sound that cannot be decoded",
    Reason.TRUNCATED_AUDIO: "Sound cut short",
    Reason.NON_FINITE_AUDIO: "NaN or infinite samples",
    Reason.SILENT_AUDIO: "One constant value, no sound",
    Reason.CLIPPED_AUDIO: "Clipped sound",
    Reason.OUT_OF_RANGE_AUDIO: "Samples out of range",
    Reason.OUT_OF_PHASE_AUDIO: "Channels that cancel each other",
    Reason.SHORT_AUDIO: "Sound too short",
    Reason.UNDECODABLE_IMAGE: "Picture that cannot be decoded",
    Reason.HUGE_IMAGE: "Picture too large to decode",
    Reason.SMALL_IMAGE: "Picture too small",
    Reason.UNDECODABLE_VIDEO: "Video that cannot be decoded",
    Reason.BROKEN_ARCHIVE: "Broken archive",
    Reason.UNSAFE_MEMBER: "Unsafe member of an archive",
    Reason.HUGE_MEMBER: "Member of an archive too large",
    Reason.NO_LABEL: "No label",
    Reason.NO_CAPTION: "No caption",
    Reason.UNMAPPED_LABEL: "Label without a class",
    Reason.NO_MEDIA: "Listed, but not on disk",
    Reason.REPEATED: "Listed twice",
    Reason.BY_HAND: "Left out by hand",
}
FLAG_TITLES = {
    Flag.NEAR_SILENT: "Nearly silent",
    Flag.CLIPPED: "Some clipping",
    Flag.OUT_OF_PHASE: "Channels nearly cancel each other",
    Flag.FLAT_IMAGE: "Picture of nearly one shade",
    Flag.NO_END_MARKER: "JPEG without its end marker",
    Flag.NEAR_DUPLICATE_AUDIO: "Sounds almost the same as another",
    Flag.NEAR_DUPLICATE_IMAGE: "Looks almost the same as another",
}


def write_data_page(manifest: Manifest, *, folder: Path) -> Path:
    """Write `cleaning.html` for a cleaned manifest into `folder` and return its path.

    One file that reaches for nothing else: media are small copies inside it, at most 6 MB.

    Raises:
        NoSpaceError: the disk is full.
    """
    media = MediaStore()
    maker = ExampleMaker(manifest.root, media=media, max_bytes=_MAX_MEDIA_BYTES)
    found = [_classes(manifest), _reasons(manifest, maker), _flags(manifest, maker)]
    if plots := histograms(manifest.items):
        found.append(Section("plots", "What the kept pairs are like", plots))
    if kept := _kept_examples(manifest, maker):
        found.append(Section("kept", "One kept pair per class", [Examples(kept)]))
    path = folder / PAGE_FILE
    write_atomic(path, content=Page(head=_head(manifest), sections=found, media=media).html())
    return path


def _head(manifest: Manifest) -> Head:
    num_left = len(manifest.exclusions)
    num_chosen = sum(item.reason in SELECTION_REASONS for item in manifest.exclusions)
    return Head(
        title=f"Cleaning of {plain(manifest.root.name or str(manifest.root))}",
        headline=f"{len(manifest.samples)} of {count(manifest.num_input, 'item')} are usable pairs "
        "of a sound and a picture.",
        tone="plain",
        chips=(
            f"{len(manifest.samples)} kept",
            f"{sum(i.status is Status.INCLUDED and bool(i.flags) for i in manifest.items)} of them "
            "flagged",
            f"{num_left} left out" + (f", {num_chosen} by choice" if num_chosen else ""),
            _num_names(manifest),
        ),
        kicker=(count(num_media_files(manifest), "media file"), "nothing was moved or changed"),
        branches=(),
        files=(),
        source="the manifest of the folder and the files that it names",
    )


def _num_names(manifest: Manifest) -> str:
    if manifest.kind is DataKind.CAPTIONS:
        return "captions alone"
    what = ("label", "labels") if manifest.kind is DataKind.LABELS else ("class", "classes")
    return count(len(manifest.classes), *what)


def _classes(manifest: Manifest) -> Section:
    tally: dict[str, Counter[str]] = {name: Counter() for name in manifest.named_classes}
    for item in manifest.items:
        for name in item.names or ("",):
            row = tally.setdefault(name, Counter())
            row[item.status.value] += 1
            row["flagged"] += item.status is Status.INCLUDED and bool(item.flags)
    nameless = "captions alone" if manifest.kind is DataKind.CAPTIONS else "class unknown"
    # Items without a class come last, whatever the others are called.
    rows = [
        (
            Cell(plain(name) if name else nameless),
            Cell(str(row[Status.INCLUDED.value])),
            Cell(str(row["flagged"] or "")),
            Cell(str(row[Status.EXCLUDED.value] or "")),
        )
        for name, row in sorted(tally.items(), key=lambda pair: (pair[0] == "", pair[0]))
    ]
    columns = (
        Column("class"),
        *(Column(c, is_number=True) for c in ("kept", "flagged", "left out")),
    )
    return Section("classes", "Classes", [Table("Items per class", columns, tuple(rows))])


def _reasons(manifest: Manifest, maker: ExampleMaker) -> Section:
    groups, rows = [], []
    for reason, number in manifest.reason_counts().items():
        items = [item for item in manifest.exclusions if item.reason is reason]
        title = REASON_TITLES[reason]
        rows.append((Cell(title, href=f"#{reason.value}", note=reason.value), Cell(str(number))))
        shown = maker.of(items, most=_EXAMPLES_A_REASON, sentence=_detail)
        groups.append(Examples(shown, reason.value, f"{title}: {number}"))
    columns = (Column("reason"), Column("items", is_number=True))
    table = Table("Items per reason", columns, tuple(rows))
    parts: list[Part] = [table, *groups] if groups else [Paragraph("Nothing was left out.")]
    return Section("reasons", "Left out, by reason", parts)


def _flags(manifest: Manifest, maker: ExampleMaker) -> Section:
    by_id = {item.id: item for item in manifest.items if item.status is Status.INCLUDED}
    groups: list[Part] = []
    for flag in Flag:
        items = [item for item in manifest.items if flag in item.flags]
        if not items:
            continue
        shown = maker.of(
            _with_first(items, flag=flag, by_id=by_id),
            most=_EXAMPLES_A_REASON,
            sentence=partial(_flag_detail, flag=flag),
        )
        title = f"{FLAG_TITLES[flag]}: {len(items)}"
        note = f"Flagged because {MEANINGS[flag]}."
        groups.append(Examples(items=shown, id=flag.value, title=title, note=note))
    parts = groups or [Paragraph("No pair was flagged.")]
    return Section("flags", "Kept, but worth checking", parts)


def _with_first(items: list[Item], *, flag: Flag, by_id: Mapping[str, Item]) -> Iterable[Item]:
    """The items; before the first of those near to one another, that one itself."""
    seen: set[str] = set()
    for item in items:
        first = _first_of(item, flag=flag)
        if first is not None and first not in seen:
            seen.add(first)
            yield by_id[first]
        yield item


def _first_of(item: Item, *, flag: Flag) -> str | None:
    if flag is Flag.NEAR_DUPLICATE_AUDIO:
        return item.near_duplicate_audio_of
    return item.near_duplicate_image_of if flag is Flag.NEAR_DUPLICATE_IMAGE else None


def _flag_detail(item: Item, *, flag: Flag) -> str:
    return flag_sentence(item, flag) if flag in item.flags else "the one that others resemble"


def _detail(item: Item) -> str:
    return item.detail or ""


def _kept_examples(manifest: Manifest, maker: ExampleMaker) -> tuple[Example, ...]:
    first: dict[str, Any] = {}
    for item in manifest.items:
        if item.status is Status.INCLUDED and not item.flags:
            first.setdefault(item.names[0] if item.names else "", item)
    return maker.of(
        (first[name] for name in sorted(first)), most=_MAX_CLASSES_SHOWN, sentence=_detail
    )
