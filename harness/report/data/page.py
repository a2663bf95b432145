"""The page of a cleaned folder: counts, examples of each reason, what the kept pairs are like."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from core.data.manifest import SELECTION_REASONS, Item, Manifest, Reason, Status
from core.data.media.quality import MEANINGS, Flag, flag_sentence
from core.files import write_atomic
from harness.data.clean import PAGE_FILE, num_media_files
from harness.report.data.examples import Example, ExampleMaker
from harness.report.data.histograms import histograms
from harness.wording.numbers import count, plain

_MAX_MEDIA_BYTES = 6 << 20
_EXAMPLES_A_REASON = 3
_MAX_CLASSES_SHOWN = 24

REASON_TITLES = {
    Reason.MISSING_AUDIO: "No sound for the picture",
    Reason.MISSING_IMAGE: "No picture for the sound",
    Reason.SEVERAL_FILES: "More than one file for one pair",
    Reason.NOT_LISTED: "No list names it",
    Reason.LEFTOVER: "Leftover of a download",
    Reason.OUTSIDE_ROOT: "Path or link out of the folder",
    Reason.NOT_A_FILE: "Not a file",
    Reason.UNREADABLE: "Cannot be read",
    Reason.UNSUPPORTED_FORMAT: "Format that is not read",
    Reason.EMPTY_AUDIO: "Header without sound",
    Reason.UNDECODABLE_AUDIO: "Sound that cannot be decoded",
    Reason.TRUNCATED_AUDIO: "Sound cut short",
    Reason.NON_FINITE_AUDIO: "NaN or infinite samples",
    Reason.SILENT_AUDIO: "One constant value, no sound",
    Reason.CLIPPED_AUDIO: "Clipped sound",
    Reason.SHORT_AUDIO: "Sound too short",
    Reason.UNDECODABLE_IMAGE: "Picture that cannot be decoded",
    Reason.HUGE_IMAGE: "Picture too large to decode",
    Reason.SMALL_IMAGE: "Picture too small",
    Reason.UNDECODABLE_VIDEO: "Video that cannot be decoded",
    Reason.BROKEN_ARCHIVE: "Broken archive",
    Reason.UNSAFE_MEMBER: "Unsafe member of an archive",
    Reason.HUGE_MEMBER: "Member of an archive too large",
    Reason.NO_LABEL: "No label",
    Reason.UNMAPPED_LABEL: "Label of no class",
    Reason.NO_MEDIA: "Listed, but not on disk",
    Reason.REPEATED: "Listed twice",
}
_FLAG_TITLES = {
    Flag.NEAR_SILENT: "Nearly silent",
    Flag.CLIPPED: "Some clipping",
    Flag.FLAT_IMAGE: "Picture of nearly one shade",
    Flag.NEAR_DUPLICATE_AUDIO: "Sounds nearly like another",
    Flag.NEAR_DUPLICATE_IMAGE: "Looks nearly like another",
}


@dataclass(frozen=True)
class Group:
    """A reason or a flag with its examples."""

    key: str
    title: str
    meaning: str
    count: int
    examples: list[Example]


@dataclass(frozen=True)
class ClassRow:
    """A line of the table of classes."""

    name: str
    included: int
    flagged: int
    excluded: int


def write_data_page(manifest: Manifest, *, folder: Path) -> Path:
    """Write `cleaning.html` for a cleaned manifest into `folder` and return its path.

    One file that reaches for nothing else: media are small copies inside it, at most 6 MB.
    """
    maker = ExampleMaker(manifest.root, max_bytes=_MAX_MEDIA_BYTES)
    context = {
        "name": plain(manifest.root.name or str(manifest.root)),
        "summary": _summary(manifest),
        "classes": _class_rows(manifest),
        "reasons": _reasons(manifest, maker),
        "flags": _flags(manifest, maker),
        "histograms": histograms(manifest.items),
        "kept": _kept_examples(manifest, maker),
    }
    path = folder / PAGE_FILE
    html = _environment().get_template("data.html.j2").render(**context)
    write_atomic(path, content=html.encode("utf-8", "backslashreplace"))
    return path


def _summary(manifest: Manifest) -> dict[str, Any]:
    flagged = sum(bool(i.flags) for i in manifest.items if i.status is Status.INCLUDED)
    chosen = sum(item.reason in SELECTION_REASONS for item in manifest.exclusions)
    return {
        "input": manifest.num_input,
        "included": len(manifest.samples),
        "excluded": len(manifest.exclusions),
        "by_choice": chosen,
        "flagged": flagged,
        "files": count(num_media_files(manifest), "media file"),
        "classes": count(len(manifest.classes), "class", "classes"),
    }


def _class_rows(manifest: Manifest) -> list[ClassRow]:
    tally: dict[str, Counter[str]] = {name: Counter() for name in manifest.named_classes}
    for item in manifest.items:
        row = tally.setdefault(item.class_name or "", Counter())
        row[item.status.value] += 1
        row["flagged"] += item.status is Status.INCLUDED and bool(item.flags)
    # Items without a class come last, whatever the others are called.
    return [
        ClassRow(
            plain(name) if name else "no class known",
            row[Status.INCLUDED.value],
            row["flagged"],
            row[Status.EXCLUDED.value],
        )
        for name, row in sorted(tally.items(), key=lambda pair: (pair[0] == "", pair[0]))
    ]


def _reasons(manifest: Manifest, maker: ExampleMaker) -> list[Group]:
    groups = []
    for reason, number in manifest.reason_counts().items():
        items = [item for item in manifest.exclusions if item.reason is reason]
        examples = maker.of(items, most=_EXAMPLES_A_REASON, sentence=_detail)
        groups.append(Group(reason.value, REASON_TITLES[reason], "", number, examples))
    return groups


def _flags(manifest: Manifest, maker: ExampleMaker) -> list[Group]:
    by_id = {item.id: item for item in manifest.items if item.status is Status.INCLUDED}
    groups = []
    for flag in Flag:
        items = [item for item in manifest.items if flag in item.flags]
        if not items:
            continue
        shown = _with_first(items, flag=flag, by_id=by_id)
        examples = maker.of(
            shown, most=_EXAMPLES_A_REASON, sentence=partial(_flag_detail, flag=flag)
        )
        meaning = MEANINGS[flag]
        groups.append(Group(flag.value, _FLAG_TITLES[flag], meaning, len(items), examples))
    return groups


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
    return flag_sentence(item, flag) if flag in item.flags else "the one that others are near to"


def _detail(item: Item) -> str:
    return item.detail or ""


def _kept_examples(manifest: Manifest, maker: ExampleMaker) -> list[Example]:
    first: dict[str, Any] = {}
    for item in manifest.items:
        if item.status is Status.INCLUDED and not item.flags:
            first.setdefault(str(item.class_name), item)
    return maker.of(
        (first[name] for name in sorted(first)), most=_MAX_CLASSES_SHOWN, sentence=_detail
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("harness.report.data", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
