"""A manifest's candidates are decided: each file is decoded once, each pair kept or left out.

What leaves a pair out is in `core.data.media.decode`, what is only remarked on in
`core.data.media.quality`.
"""

import os
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.data.cleaning.grouping import Contents, group_linked, mark_near_duplicates
from core.data.cleaning.journal import Journal
from core.data.ingest.folder import scan_folder
from core.data.items import SELECTION_REASONS, DataKind, Item, Reason, Stage, Status
from core.data.manifest import Manifest
from core.data.media.decode_audio import DEFAULT_WINDOW_S, AudioFacts
from core.data.media.decode_image import ImageFacts
from core.data.media.inspection import FileOutcome, MediaKind, inspect_file
from core.data.media.quality import Flag, audio_flags, image_flags
from core.errors import DataError, UsageError

_NUM_TOP_REASONS = 4
_UNLISTED = "both files are sound, but no list names the pair, so its class is unknown"


def build_manifest(
    folder: Path,
    *,
    max_excluded_share: float,
    window_s: float = DEFAULT_WINDOW_S,
    journal: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """The clean pairs of `folder` and every exclusion; the folder itself is only read.

    The arguments are those of `clean_manifest` and `require_usable`.
    Raises: UsageError for a share outside 0 to 1; DataError when the folder is missing, empty or in
    no known layout, a metadata row is malformed, or for what `require_usable` refuses.
    """
    if not 0.0 <= max_excluded_share <= 1.0:
        raise UsageError(f"max_excluded_share is {max_excluded_share}; expected 0 to 1")
    found = scan_folder(folder).manifest()
    manifest = clean_manifest(found, window_s=window_s, journal=journal, progress=progress)
    require_usable(manifest, max_excluded_share=max_excluded_share)
    return manifest


def clean_manifest(
    found: Manifest,
    *,
    window_s: float = DEFAULT_WINDOW_S,
    journal: Path | None = None,
    num_workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """`found` with every candidate included or excluded; a cleaned manifest is cleaned anew.

    window_s: the part of a clip in which silence and clipping are judged; the part that is used.
    journal: file of outcomes to go on from and to add to; see `core.data.cleaning.journal`.
    num_workers: threads; None for one a core.
    `progress(done, total)` is called from this thread after each candidate pair.
    Pairs that share the bytes of a sound or a picture get one `group`, so a split keeps them
    together; near duplicates are only flagged. A candidate that nothing lists is decoded too, for a
    fault of its own says more than that, and then left out.
    """
    found = found.as_ingested()
    root = found.root
    book = nullcontext() if journal is None else Journal(journal, root=root, window_s=window_s)
    decided: dict[str, Item] = {}
    contents = Contents()
    with book as kept:
        files = _Files(root, window_s=window_s, journal=kept)
        for done, (item, audio, image) in enumerate(
            _inspected(found.candidates, files=files, num_workers=num_workers), start=1
        ):
            decided[item.id] = _decide(item, audio, image)
            if decided[item.id].status is Status.INCLUDED:
                contents.note(audio)
                contents.note(image)
            if progress:
                progress(done, len(found.candidates))
    items = [decided[i.id] if i.status is Status.CANDIDATE else i for i in found.items]
    items = mark_near_duplicates(items, contents=contents)
    cleaning = {"window_s": window_s, "num_files_decoded": files.num_decoded}
    return replace(found, items=group_linked(items), cleaning=cleaning)


def require_usable(manifest: Manifest, *, max_excluded_share: float) -> None:
    """Return if a cleaned manifest can be worked with.

    What was left out by choice (`SELECTION_REASONS`) does not count as unusable.
    Raises: DataError when more than `max_excluded_share` of the input is excluded, nothing is left,
    or a class that the sources name has no pair left.
    """
    faults = [item for item in manifest.exclusions if item.reason not in SELECTION_REASONS]
    num_asked = len(manifest.samples) + len(faults)
    head = f"{len(faults)} of {num_asked} items in {manifest.root} are unusable"
    if not manifest.samples:
        raise DataError(f"{head}, nothing is left. {_top_reasons(manifest.exclusions)}")
    share = len(faults) / num_asked
    if share > max_excluded_share:
        raise DataError(
            f"{head} ({share:.1%}), more than the allowed {max_excluded_share:.1%}. "
            f"{_top_reasons(faults)} Repair or remove them, or allow a larger share."
        )
    empty = sorted(set(manifest.named_classes) - set(manifest.classes))
    if empty and manifest.kind is DataKind.CLASSES:
        raise DataError(
            f"no usable pair in class {', '.join(map(repr, empty))}; expected at least one. "
            f"Repair or remove the class. {_top_reasons(manifest.exclusions)}"
        )


class _Files:
    """Outcomes of files; a file that several pairs name is decoded by the first that asks."""

    def __init__(self, root: Path, *, window_s: float, journal: Journal | None) -> None:
        self._root, self._window_s, self._journal = root, window_s, journal
        self._outcomes: dict[tuple[str, MediaKind], FileOutcome] = {}
        self._locks: dict[tuple[str, MediaKind], threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()
        self.num_decoded = 0

    def outcome(self, path: str, kind: MediaKind) -> FileOutcome:
        with self._lock:
            own_lock = self._locks[path, kind]
        with own_lock:
            if (path, kind) not in self._outcomes:
                self._outcomes[path, kind] = self._look(path, kind)
            return self._outcomes[path, kind]

    def _look(self, path: str, kind: MediaKind) -> FileOutcome:
        known = self._journal.find(path, kind) if self._journal else None
        if known is not None:
            return known
        outcome = inspect_file(self._root / path, kind=kind, window_s=self._window_s)
        if self._journal:
            self._journal.add(path, kind, outcome)
        with self._lock:
            self.num_decoded += 1
        return outcome


def _inspected(
    candidates: Sequence[Item], *, files: _Files, num_workers: int | None
) -> Iterator[tuple[Item, FileOutcome, FileOutcome]]:
    def look(item: Item) -> tuple[Item, FileOutcome, FileOutcome]:
        audio = files.outcome(str(item.audio_path), MediaKind.AUDIO)
        return item, audio, files.outcome(str(item.image_path), MediaKind.IMAGE)

    # Threads, not processes: hashing, both decoders and the transforms release the interpreter
    # lock, and a process pool costs more to start than a thousand short clips cost to decode.
    pool = ThreadPoolExecutor(num_workers or _num_cores())
    try:
        yield from pool.map(look, candidates)
    finally:  # on Ctrl-C the files in work end, those in the queue never start
        pool.shutdown(cancel_futures=True)


def _num_cores() -> int:
    has_affinity = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1


def _decide(item: Item, audio: FileOutcome, image: FileOutcome) -> Item:
    known: dict[str, Any] = {"audio_bytes": audio.num_bytes, "image_bytes": image.num_bytes}
    known |= {"audio_sha256": audio.sha256, "image_sha256": image.sha256}
    flags: list[Flag] = []
    if isinstance(audio.facts, AudioFacts):
        flags += audio_flags(audio.facts)
        for name in ("duration_s", "sample_rate_hz", "num_channels", "clipped_share"):
            known[name] = getattr(audio.facts, name)
        known |= {"rms_dbfs": audio.facts.rms_dbfs, "peak_dbfs": audio.facts.peak_dbfs}
    if isinstance(image.facts, ImageFacts):
        flags += image_flags(image.facts)
        known |= {"image_width": image.facts.width, "image_height": image.facts.height}
    problems = [(o.reason, str(o.detail)) for o in (audio, image) if o.reason is not None]
    if not problems and not item.is_listed:
        problems = [(Reason.NOT_LISTED, _UNLISTED)]
    if problems:
        known |= {"reason": problems[0][0], "excluded_by": Stage.CLEAN}
        known["detail"] = "; ".join(detail for _, detail in problems)
        return replace(item, status=Status.EXCLUDED, **known)
    return replace(item, status=Status.INCLUDED, flags=tuple(sorted(flags)), **known)


def _top_reasons(exclusions: Sequence[Item]) -> str:
    counts = Counter(item.reason for item in exclusions if item.reason is not None)
    example = {item.reason: item for item in reversed(exclusions)}
    parts = [
        f"{reason.value}: {count} (such as {example[reason].id}: {example[reason].detail})"
        for reason, count in counts.most_common(_NUM_TOP_REASONS)
    ]
    return f"Most frequent reasons: {'; '.join(parts)}." if parts else ""
