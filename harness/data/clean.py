"""A data folder cleaned: its manifest decided and saved, and what scripts read of it."""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.data.cleaning.clean import clean_manifest
from core.data.cleaning.journal import JOURNAL_FILE
from core.data.items import Status
from core.data.manifest import MANIFEST_FILE, Manifest
from core.data.media.quality import Flag
from core.errors import MismatchError, UsageError
from harness.settings.profile import MAX_WINDOW_S, MIN_WINDOW_S

PAGE_FILE = "cleaning.html"
"""Of a cleaned folder: the page to look at, which a command draws."""


@dataclass(frozen=True)
class Cleaning:
    """What `harness data clean` made."""

    folder: Path
    """The data folder."""
    manifest: Manifest
    """Every item, decided."""

    @property
    def page(self) -> Path:
        """Where the page to look at belongs."""
        return self.folder / PAGE_FILE


def clean_folder(
    found: Manifest,
    *,
    folder: Path,
    window_s: float,
    num_workers: int | None = None,
    is_anew: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> Cleaning:
    """Decide every item of the manifest found in `folder`, which the caller holds, and save it.

    A cleaning that was stopped goes on; is_anew: decode again what an earlier one decoded.
    The caller then asks `core.data.cleaning.clean.require_usable` whether the rest will do.
    Raises: MismatchError for a page that no cleaning of ours made.
    """
    require_window(window_s)
    journal = folder / JOURNAL_FILE
    page = folder / PAGE_FILE
    if page.exists() and found.cleaning is None and not journal.exists():
        raise MismatchError(
            f"{page} was not written by cleaning and would be replaced; move it elsewhere, or "
            "ingest into another folder"
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
    return Cleaning(folder, manifest)


def num_media_files(manifest: Manifest) -> int:
    """Files that the items stand for: a pair's two, a loose file's one."""
    return sum(
        (item.audio_path is not None) + (item.image_path is not None)
        or os.path.isfile(manifest.root / item.id)  # the id of a loose file is its path
        for item in manifest.items
    )


def cleaning_data(cleaning: Cleaning) -> dict[str, Any]:
    """For scripts."""
    manifest = cleaning.manifest
    num_flagged = sum(
        item.status is Status.INCLUDED and bool(item.flags) for item in manifest.items
    )
    return {
        "kind": manifest.kind.value,
        "manifest": str(cleaning.folder / MANIFEST_FILE),
        "page": str(cleaning.page),
        "input": manifest.num_input,
        "files": num_media_files(manifest),
        "included": len(manifest.samples),
        "excluded": len(manifest.exclusions),
        "flagged": num_flagged,
        "files_decoded": (manifest.cleaning or {}).get("num_files_decoded"),
        "classes": manifest.class_counts(),
        "reasons": {reason.value: number for reason, number in manifest.reason_counts().items()},
        "flags": {flag.value: number for flag, number in flag_counts(manifest).items()},
        "duplicates": sum(item.duplicate_of is not None for item in manifest.items),
    }


def flag_counts(manifest: Manifest) -> dict[Flag, int]:
    """Items of each flag that some item has."""
    counts = Counter(flag for item in manifest.items for flag in item.flags)
    return {flag: counts[flag] for flag in Flag if counts[flag]}


def flagged_by_class(manifest: Manifest) -> Counter[str]:
    """Pairs of each class or label that were kept and flagged."""
    return Counter(
        name
        for item in manifest.items
        if item.status is Status.INCLUDED and item.flags
        for name in item.names
    )


def require_window(window_s: float) -> None:
    """Return if sound can be measured over, or cut to, so many seconds; NaN is refused as well.

    Raises: UsageError.
    """
    if not MIN_WINDOW_S <= window_s <= MAX_WINDOW_S:
        raise UsageError(
            f"the window is {window_s} s; expected {MIN_WINDOW_S} to {MAX_WINDOW_S:.0f}"
        )
