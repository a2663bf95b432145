"""What lies in the feature cache, and taking away what nothing needs.

Only folders that the store made are counted or touched. A folder that a process fills is left
alone; a process that reads goes on reading, since a mapped file lives until it is let go. The
folder and its lock file stay when all its rows go: another process may be waiting on that lock.
"""

import json
import time
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from core.data.splits.split import Split
from core.features.crops import content_and_start
from core.features.index import LOCK_FILE, SETTINGS_FILE, SILENCE, caption_key, read_index
from core.locks import FileLock, LockHeldError

_NEUTRAL_KEYS = frozenset({SILENCE, caption_key("")})
"""Of no clip: they do not keep a shard, and go with the clips that they were computed beside."""


class Why(StrEnum):
    """Why rows may go."""

    UNUSED = "unused"  # no known split holds their content
    OLD = "old"  # not asked for since the given time
    TOO_MUCH = "too_much"  # least recently used, above the given size


@dataclass(frozen=True)
class Shard:
    """A file of rows and its index."""

    path: Path
    keys: frozenset[str]
    """Empty where the index is damaged."""
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class CacheFolder:
    """One kind of feature made with one set of settings."""

    path: Path
    kind: str
    settings: Mapping[str, Any]
    shards: tuple[Shard, ...]
    last_used: float
    """Seconds since 1970 at which a run last asked for rows of it."""

    @property
    def num_rows(self) -> int:
        """Rows in all shards."""
        return sum(len(shard.keys) for shard in self.shards)

    @property
    def size_bytes(self) -> int:
        """Bytes of all shards and their indices."""
        return sum(shard.size_bytes for shard in self.shards)

    def data(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "folder": self.path.name,
            "kind": self.kind,
            "settings": dict(self.settings),
            "shards": len(self.shards),
            "rows": self.num_rows,
            "bytes": self.size_bytes,
            "last_used": self.last_used,
        }


@dataclass(frozen=True)
class Removal:
    """Shards of one folder that may go, and why."""

    folder: CacheFolder
    shards: tuple[Shard, ...]
    why: Why

    @property
    def size_bytes(self) -> int:
        """Bytes that are set free."""
        return sum(shard.size_bytes for shard in self.shards)


def cache_folders(cache_dir: Path) -> tuple[CacheFolder, ...]:
    """Every folder of the store below `cache_dir` that holds rows, largest first."""
    found = []
    for settings_path in cache_dir.glob(f"*/{SETTINGS_FILE}"):
        folder = settings_path.parent
        try:
            settings = json.loads(settings_path.read_bytes())
        except (ValueError, OSError):
            settings = {}
        shards = tuple(_shard(path) for path in sorted(folder.glob("*.safetensors")))
        if shards:
            kind = folder.name.rpartition("-")[0]
            last_used = settings_path.stat().st_mtime
            found.append(
                CacheFolder(
                    path=folder, kind=kind, settings=settings, shards=shards, last_used=last_used
                )
            )
    return tuple(sorted(found, key=lambda folder: (-folder.size_bytes, folder.path)))


def needed_contents(splits: Iterable[Split]) -> frozenset[str]:
    """Content hashes of every picture, sound and caption of these splits."""
    return frozenset(
        content
        for split in splits
        for sample in split.samples.values()
        for content in (sample.audio_sha256, sample.image_sha256, caption_key(sample.caption))
    )


def plan_prune(
    folders: Sequence[CacheFolder],
    *,
    needed: Set[str] | None = None,
    older_than_s: float | None = None,
    max_bytes: int | None = None,
) -> tuple[Removal, ...]:
    """What may go, by each rule that is given.

    needed: contents to keep; a shard of which no row is needed goes, one that is needed in part
    stays whole. older_than_s: folders unused for longer go. max_bytes: of what is left, the least
    recently used folders go until the rest fits.
    """
    now = time.time()
    removals: list[Removal] = []
    left: list[CacheFolder] = []
    for folder in folders:
        if older_than_s is not None and now - folder.last_used > older_than_s:
            removals.append(Removal(folder, folder.shards, Why.OLD))
            continue
        unused = () if needed is None else _unused(folder.shards, needed=needed)
        if unused:
            removals.append(Removal(folder, unused, Why.UNUSED))
        kept = tuple(shard for shard in folder.shards if shard not in unused)
        if kept:
            left.append(
                CacheFolder(
                    path=folder.path,
                    kind=folder.kind,
                    settings=folder.settings,
                    shards=kept,
                    last_used=folder.last_used,
                )
            )
    total = sum(folder.size_bytes for folder in left)
    for folder in sorted(left, key=lambda folder: folder.last_used):
        if max_bytes is None or total <= max_bytes:
            break
        removals.append(Removal(folder, folder.shards, Why.TOO_MUCH))
        total -= folder.size_bytes
    return tuple(removals)


def remove(removal: Removal) -> bool:
    """Delete the shards; False, and nothing deleted, where a process fills the folder."""
    folder = removal.folder.path
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout_s=0)
    except LockHeldError:
        return False
    try:
        for shard in removal.shards:
            # The index first: rows without one are no rows, whatever happens next.
            shard.path.with_suffix(".json").unlink(missing_ok=True)
            shard.path.unlink(missing_ok=True)
        if not any(folder.glob("*.safetensors")):
            (folder / SETTINGS_FILE).unlink(missing_ok=True)
    finally:
        lock.release()
    return True


def _unused(shards: Sequence[Shard], *, needed: Set[str]) -> tuple[Shard, ...]:
    def is_needed(shard: Shard) -> bool:
        return any(content_and_start(key)[0] in needed for key in shard.keys - _NEUTRAL_KEYS)

    kept = [shard for shard in shards if is_needed(shard)]
    return tuple(
        shard
        for shard in shards
        if not is_needed(shard) and not (kept and shard.keys and shard.keys <= _NEUTRAL_KEYS)
    )


def _shard(path: Path) -> Shard:
    index_path = path.with_suffix(".json")
    index = read_index(index_path)
    size = path.stat().st_size + (index_path.stat().st_size if index_path.is_file() else 0)
    return Shard(path, frozenset() if index is None else frozenset(index["keys"]), size)
