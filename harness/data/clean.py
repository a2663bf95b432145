"""A data folder cleaned: its manifest decided, a page beside it, and what to tell the user."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from core.data.cleaning.clean import clean_manifest
from core.data.cleaning.journal import JOURNAL_FILE
from core.data.manifest import MANIFEST_FILE, Manifest, Status
from core.data.media.quality import MEANINGS, Flag
from core.errors import MismatchError, UsageError
from harness.records.lock import held
from harness.report.data.page import PAGE_FILE, num_media_files, write_data_page
from harness.wording.plain_text import plain


@dataclass(frozen=True)
class Cleaning:
    """What `harness data clean` made."""

    folder: Path
    """The data folder."""
    manifest: Manifest
    """Every item, decided."""
    page: Path
    """The page to look at."""


def clean_folder(
    folder: Path,
    *,
    window_s: float,
    num_workers: int | None = None,
    is_anew: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> Cleaning:
    """Decide every item of the manifest in `folder`, write it back, and write the page.

    A cleaning that was stopped goes on; is_anew: decode again what an earlier one decoded.
    The caller then asks `core.data.cleaning.clean.require_usable` whether the rest will do.
    Raises: DataError without a manifest; BusyError while another process works on the folder;
    MismatchError for a page that no cleaning of ours made.
    """
    if window_s <= 0:
        raise UsageError(f"the window is {window_s} s; expected more than 0")
    found = Manifest.load(folder)  # before the lock, which would make a folder of a typing error
    with held(folder):
        journal = folder / JOURNAL_FILE
        page = folder / PAGE_FILE
        if page.exists() and found.cleaning is None and not journal.exists():
            raise MismatchError(
                f"{page} was there before any cleaning and would be replaced; move it elsewhere, "
                "or ingest into a folder of its own"
            )
        if is_anew:
            journal.unlink(missing_ok=True)
        manifest = clean_manifest(
            found,
            window_s=window_s,
            journal=journal,
            num_workers=num_workers,
            progress=progress and (lambda done, n: progress("decoding every pair once", done, n)),
        )
        manifest.save(folder)
        if progress:
            progress("writing the page", 0, 1)
        page = write_data_page(manifest, folder=folder)
        if progress:
            progress("writing the page", 1, 1)
    return Cleaning(folder, manifest, page)


def cleaning_data(cleaning: Cleaning) -> dict[str, Any]:
    """For scripts."""
    manifest = cleaning.manifest
    flagged = _flagged_by_class(manifest)
    return {
        "manifest": str(cleaning.folder / MANIFEST_FILE),
        "page": str(cleaning.page),
        "input": manifest.num_input,
        "files": num_media_files(manifest),
        "included": len(manifest.samples),
        "excluded": len(manifest.exclusions),
        "flagged": sum(flagged.values()),
        "files_decoded": (manifest.cleaning or {}).get("num_files_decoded"),
        "classes": manifest.class_counts(),
        "reasons": {reason.value: number for reason, number in manifest.reason_counts().items()},
        "flags": {flag.value: number for flag, number in _flag_counts(manifest).items()},
        "duplicates": sum(item.duplicate_of is not None for item in manifest.items),
    }


def cleaning_view(cleaning: Cleaning, *, is_usable: bool) -> RenderableType:
    """For a person; the next step is named where there can be one."""
    manifest = cleaning.manifest
    num_kept, num_left = len(manifest.samples), len(manifest.exclusions)
    flagged = _flagged_by_class(manifest)
    classes = Table("class", "kept", "flagged", title="Kept", title_justify="left")
    for name, number in manifest.class_counts().items():
        classes.add_row(Text(plain(name)), str(number), str(flagged[name] or ""))
    parts: list[RenderableType] = [
        Text(
            f"{num_kept} kept + {num_left} left out = {manifest.num_input} items "
            f"({num_media_files(manifest)} media files)",
            style="bold",
        ),
        classes,
    ]
    if num_left:
        parts.append(_reasons(manifest))
    flags = _flag_counts(manifest)
    if flags:
        remarks = Table("flag", "pairs", "meaning", title="Kept, but look", title_justify="left")
        for flag, number in flags.items():
            remarks.add_row(flag.value, str(number), MEANINGS[flag])
        parts.append(remarks)
    num_copies = sum(item.duplicate_of is not None for item in manifest.items)
    if num_copies:
        have = "pair has" if num_copies == 1 else "pairs have"
        parts.append(
            Text(
                f"{num_copies} {have} the very sound or picture of another; a split keeps them "
                "together."
            )
        )
    parts.append(Text(f"hear and see it: {cleaning.page}"))
    if is_usable:
        parts.append(Text(f"next: harness data split {cleaning.folder} --out LOCK.json"))
    return Group(*parts)


def _reasons(manifest: Manifest) -> Table:
    table = Table("reason", "items", "such as", title="Left out", title_justify="left")
    first = {item.reason: item for item in reversed(manifest.exclusions)}
    for reason, number in manifest.reason_counts().items():
        example = f"{plain(first[reason].id)}: {plain(first[reason].detail)}"
        table.add_row(reason.value, str(number), Text(example, overflow="fold"))
    return table


def _flag_counts(manifest: Manifest) -> dict[Flag, int]:
    counts = Counter(flag for item in manifest.items for flag in item.flags)
    return {flag: counts[flag] for flag in Flag if counts[flag]}


def _flagged_by_class(manifest: Manifest) -> Counter[str]:
    return Counter(
        str(item.class_name)
        for item in manifest.items
        if item.status is Status.INCLUDED and item.flags
    )
