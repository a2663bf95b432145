"""The feature cache of a results folder: what it holds, and which splits still need it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.data.splits.split import Split, load_split
from core.errors import HarnessError, UsageError
from core.features.folders import (
    CacheFolder,
    Removal,
    cache_folders,
    needed_contents,
    plan_prune,
    remove,
)
from harness.records.folders import SPLIT, ResultsFolder, RunFolder
from harness.records.names import locks_of, recorded_lock

_DAY_S = 86_400
_GB = 10**9


@dataclass(frozen=True)
class Stats:
    """What the cache holds."""

    cache_dir: Path
    folders: tuple[CacheFolder, ...]

    def data(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "cache": str(self.cache_dir),
            "rows": sum(folder.num_rows for folder in self.folders),
            "bytes": sum(folder.size_bytes for folder in self.folders),
            "folders": [folder.data() for folder in self.folders],
        }


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What `--prune` was asked to take."""

    unused: bool = True
    older_than_days: float | None = None
    max_gb: float | None = None
    keep: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What was taken, or would be."""

    is_dry_run: bool
    removals: tuple[Removal, ...]
    in_use: tuple[Path, ...]
    """Folders that a process fills, which were left."""
    num_splits: int
    """Splits whose rows were kept."""
    unknown_runs: tuple[str, ...]
    """Runs whose lock file was not found, so that their rows count as unused."""

    def data(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "is_dry_run": self.is_dry_run,
            "bytes": sum(removal.size_bytes for removal in self.removals),
            "splits_kept": self.num_splits,
            "unknown_runs": list(self.unknown_runs),
            "in_use": [path.name for path in self.in_use],
            "removed": [
                {
                    "folder": removal.folder.path.name,
                    "why": removal.why.value,
                    "shards": len(removal.shards),
                    "rows": sum(len(shard.keys) for shard in removal.shards),
                    "bytes": removal.size_bytes,
                }
                for removal in self.removals
            ],
        }


def feature_cache_dir(results: Path) -> Path:
    """Where runs keep features."""
    return ResultsFolder(results).features


def stats(results: Path) -> Stats:
    """What the cache of `results` holds."""
    cache_dir = feature_cache_dir(results)
    return Stats(cache_dir, cache_folders(cache_dir))


def prune_cache(results: Path, *, rules: Rules, is_dry_run: bool) -> Pruned:
    """Take what the rules name, or only say what that is.

    Raises: UsageError when no rule is given; DataError or MismatchError for a lock to keep that
    cannot be read.
    """
    if not rules.unused and rules.older_than_days is None and rules.max_gb is None:
        raise UsageError("--no-unused leaves no rule; pass --older-than or --max-gb")
    splits, unknown = _known_splits(results)
    splits += [load_split(path) for path in rules.keep]
    planned = plan_prune(
        cache_folders(feature_cache_dir(results)),
        needed=needed_contents(splits) if rules.unused else None,
        older_than_s=None if rules.older_than_days is None else rules.older_than_days * _DAY_S,
        max_bytes=None if rules.max_gb is None else round(rules.max_gb * _GB),
    )
    in_use: list[Path] = []
    taken: list[Removal] = []
    for removal in planned:
        if is_dry_run or remove(removal):
            taken.append(removal)
        else:
            in_use.append(removal.folder.path)
    return Pruned(
        is_dry_run=is_dry_run,
        removals=tuple(taken),
        in_use=tuple(in_use),
        num_splits=len(splits),
        unknown_runs=tuple(unknown),
    )


def _known_splits(results: Path) -> tuple[list[Split], list[str]]:
    """Splits of the results folder and of its runs, and the runs whose lock cannot be read."""
    # One for each seed of the split.
    named = f"*/{Path(SPLIT).stem}*{Path(SPLIT).suffix}"
    locks = {path.resolve() for path in ResultsFolder(results).data.glob(named)}
    unknown: list[str] = []
    folders = [path for path in ResultsFolder(results).runs.glob("*") if path.is_dir()]
    # A trial without a record was stopped early: there are many, and a sweep has others.
    folders += [path.parent for path in ResultsFolder(results).trial_records]
    for folder in sorted(folders):
        recorded = recorded_lock(RunFolder(folder).record)
        found = [] if recorded is None else locks_of(recorded, results=results)
        if found:
            locks |= {lock.resolve() for lock in found}
        else:
            unknown.append(folder.name)
    splits = []
    for path in sorted(locks):
        try:
            splits.append(load_split(path))
        except HarnessError:  # an older format or a damaged file: it is made again, rows and all
            unknown.append(str(path))
    return splits, unknown
