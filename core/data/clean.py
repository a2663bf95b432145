"""A folder of media becomes a manifest: each file is decoded once, kept or excluded with why."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from core.data.atomic import file_sha256
from core.data.decode import DEFAULT_WINDOW_S, MediaError, inspect_audio, inspect_image
from core.data.manifest import Item, Manifest, Reason, Stage, Status
from core.data.scan import scan_folder
from core.errors import DataError, UsageError

_NUM_TOP_REASONS = 4


def build_manifest(
    folder: Path,
    *,
    max_excluded_share: float,
    window_s: float = DEFAULT_WINDOW_S,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """The clean pairs of `folder` and every exclusion; the folder itself is only read.

    window_s: the part of a clip in which silence and clipping are judged; the part that is used.
    `progress(done, total)` is called from this thread after each candidate pair.
    Pairs that share the bytes of a sound or a picture get one `source` and all but the first a
    `duplicate_of`, so a split keeps them together.
    Raises: DataError when the folder is missing, empty or in no known layout, a metadata row is
    malformed, more than `max_excluded_share` of the input is excluded, or a class has no pair left.
    """
    if not 0.0 <= max_excluded_share <= 1.0:
        raise UsageError(f"max_excluded_share is {max_excluded_share}; expected 0 to 1")
    found = scan_folder(folder).manifest()
    return clean_manifest(
        found, max_excluded_share=max_excluded_share, window_s=window_s, progress=progress
    )


def clean_manifest(
    found: Manifest,
    *,
    max_excluded_share: float,
    window_s: float = DEFAULT_WINDOW_S,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """`found` with every candidate included or excluded; see `build_manifest`."""
    decided: dict[str, Item] = {}
    for done, item in enumerate(_inspected(found, window_s=window_s), start=1):
        decided[item.id] = item
        if progress:
            progress(done, len(found.candidates))
    items = (decided[item.id] if item.status is Status.CANDIDATE else item for item in found.items)
    manifest = replace(found, items=_group_duplicates(list(items)), cleaning={"window_s": window_s})
    _require_enough(manifest, max_excluded_share=max_excluded_share)
    return manifest


def _inspected(found: Manifest, *, window_s: float) -> Iterable[Item]:
    # Threads, not processes: hashing and both decoders release the interpreter lock, and a
    # process pool costs more to start than a thousand short clips cost to decode.
    num_workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    with ThreadPoolExecutor(num_workers) as pool:
        yield from pool.map(
            lambda candidate: _inspect(candidate, root=found.root, window_s=window_s),
            found.candidates,
        )


def _inspect(candidate: Item, *, root: Path, window_s: float) -> Item:
    audio, image = root / str(candidate.audio_path), root / str(candidate.image_path)
    problems: list[tuple[Reason, str]] = []
    duration_s, hashes = 0.0, ["", ""]
    try:
        duration_s = inspect_audio(audio, window_s=window_s).duration_s
    except MediaError as error:
        problems.append((error.reason, str(error)))
    try:
        inspect_image(image)
    except MediaError as error:
        problems.append((error.reason, str(error)))
    if not problems:
        try:
            hashes = [file_sha256(audio), file_sha256(image)]
        except OSError as error:
            problems.append((Reason.UNREADABLE, f"cannot be read: {error.strerror}"))
    if problems:
        return replace(
            candidate,
            status=Status.EXCLUDED,
            reason=problems[0][0],
            detail="; ".join(detail for _, detail in problems),
            excluded_by=Stage.CLEAN,
        )
    return replace(
        candidate,
        status=Status.INCLUDED,
        audio_sha256=hashes[0],
        image_sha256=hashes[1],
        duration_s=duration_s,
    )


def _group_duplicates(items: Sequence[Item]) -> tuple[Item, ...]:
    """The items; those linked by a source or by content share the least of their sources."""
    parent: dict[str, str] = {}

    def find(key: str) -> str:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    first: dict[str, str] = {}
    duplicate_of: dict[str, str] = {}
    included = [item for item in items if item.status is Status.INCLUDED]
    for item in included:
        for content in (f"audio {item.audio_sha256}", f"image {item.image_sha256}"):
            parent[find(content)] = find(f"source {item.source}")
            if first.setdefault(content, item.id) != item.id:
                duplicate_of.setdefault(item.id, first[content])
    sources: dict[str, list[str]] = defaultdict(list)
    for item in included:
        sources[find(f"source {item.source}")].append(str(item.source))
    return tuple(
        replace(
            item,
            source=min(sources[find(f"source {item.source}")]),
            duplicate_of=duplicate_of.get(item.id),
        )
        if item.status is Status.INCLUDED
        else item
        for item in items
    )


def _require_enough(manifest: Manifest, *, max_excluded_share: float) -> None:
    share = len(manifest.exclusions) / manifest.num_input
    head = (
        f"{len(manifest.exclusions)} of {manifest.num_input} items in {manifest.root} are unusable"
    )
    if not manifest.samples:
        raise DataError(f"{head}, nothing is left. {_top_reasons(manifest.exclusions)}")
    if share > max_excluded_share:
        raise DataError(
            f"{head} ({share:.1%}), more than the allowed {max_excluded_share:.1%}. "
            f"{_top_reasons(manifest.exclusions)} Repair or remove them, or allow a larger share."
        )
    empty = sorted(set(manifest.named_classes) - set(manifest.classes))
    if empty:
        raise DataError(
            f"no usable pair in class {', '.join(map(repr, empty))}; expected at least one. "
            f"Repair or remove the class. {_top_reasons(manifest.exclusions)}"
        )


def _top_reasons(exclusions: Sequence[Item]) -> str:
    counts = Counter(item.reason for item in exclusions if item.reason is not None)
    example = {item.reason: item for item in reversed(exclusions)}
    parts = [
        f"{reason.value}: {count} (such as {example[reason].id}: {example[reason].detail})"
        for reason, count in counts.most_common(_NUM_TOP_REASONS)
    ]
    return f"Most frequent reasons: {'; '.join(parts)}." if parts else ""
