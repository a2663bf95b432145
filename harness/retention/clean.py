"""Takes away what the rules name, a run at a time and never under a process that works on it."""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import BusyError, HarnessError, UsageError
from harness.data.cache import Rules, prune_cache
from harness.records.folders import ResultsFolder
from harness.records.lock import held, require_free
from harness.retention.rules import (
    Item,
    Rule,
    items_of_run,
    leftovers,
    run_folders,
    scorer_features,
)


@dataclass(frozen=True)
class Cleaned:
    """What was removed, or would be."""

    results: Path
    """The results folder."""
    is_dry_run: bool
    """Whether nothing was changed."""
    items: tuple[Item, ...]
    """What went, or would."""
    in_use: tuple[str, ...]
    """Runs that a process works on, which were left."""
    unknown: tuple[str, ...]
    """Runs whose split is not known, for whose sake no cached features went."""

    @property
    def size_bytes(self) -> int:
        """Bytes that were set free, or would be."""
        return sum(item.size_bytes for item in self.items)

    def data(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "results": str(self.results),
            "is_dry_run": self.is_dry_run,
            "bytes": self.size_bytes,
            "rules": {rule.value: rule.sentence for rule in Rule},
            "removed": [
                {"path": str(item.path), "rule": item.rule.value, "bytes": item.size_bytes}
                for item in self.items
            ],
            "in_use": list(self.in_use),
            "unknown_splits": list(self.unknown),
        }


def clean_results(results: Path, *, is_dry_run: bool, with_last: bool = False) -> Cleaned:
    """Remove what the rules name below `results`, or only say what that is.

    with_last: see `items_of_run`.

    Raises:
        UsageError: there is no such folder.
    """
    if not results.is_dir():
        raise UsageError(f"no results folder at {results}; pass --results")
    items: list[Item] = []
    in_use: list[str] = []
    for folder in run_folders(results):
        try:
            items += _of_run(folder, is_dry_run=is_dry_run, with_last=with_last)
        except BusyError:
            in_use.append(folder.name)
    items += _taken(_elsewhere(results), is_dry_run=is_dry_run)
    features, unknown = _features(results, is_dry_run=is_dry_run)
    return Cleaned(
        results=results,
        is_dry_run=is_dry_run,
        items=(*items, *features),
        in_use=tuple(in_use),
        unknown=tuple(unknown),
    )


def _of_run(folder: Path, *, is_dry_run: bool, with_last: bool) -> list[Item]:
    if is_dry_run:
        require_free(folder)
        return list(items_of_run(folder, with_last=with_last))
    seen = list(items_of_run(folder, with_last=with_last))
    if not seen:
        return []  # nothing is written where nothing goes, not even a lock
    with held(folder):  # which removes half-written files itself
        now = items_of_run(folder, with_last=with_last)
        items = [item for item in seen if item.rule is Rule.LEFTOVER]
        items += [item for item in now if item.rule is not Rule.LEFTOVER]
        return _taken(items, is_dry_run=False)


def _elsewhere(results: Path) -> list[Item]:
    """Leftovers beside the runs: of reports, sweeps and the folder itself."""
    found = ResultsFolder(results)
    items = list(leftovers(results, deep=False))
    for parent in (found.reports, found.sweeps, found.calibrations):
        items += leftovers(parent)
    return items


def _features(results: Path, *, is_dry_run: bool) -> tuple[list[Item], list[str]]:
    """(cached features that went, runs whose split is not known: then none goes)."""
    plan = prune_cache(results, rules=Rules(), is_dry_run=True)
    if plan.unknown_runs:
        return [], list(plan.unknown_runs)
    try:
        of_scorers = list(scorer_features(results))
    except HarnessError as error:  # a record that cannot be read: what its run used is not known
        return [], [str(error)]
    done = plan if is_dry_run else prune_cache(results, rules=Rules(), is_dry_run=False)
    features = [
        Item(removal.folder.path, Rule.UNUSED_FEATURES, removal.size_bytes)
        for removal in done.removals
    ]
    return [*features, *_taken(of_scorers, is_dry_run=is_dry_run)], []


def _taken(items: Sequence[Item] | Iterable[Item], *, is_dry_run: bool) -> list[Item]:
    gone = []
    for item in items:
        if not is_dry_run:
            _remove(item.path)
        gone.append(item)
    return gone


def _remove(path: Path) -> None:
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    if not path.name.startswith("."):
        # Renamed first: a kill inside rmtree must not leave half a checkpoint under its name.
        doomed = path.with_name(f".{path.name}.pruned")
        shutil.rmtree(doomed, ignore_errors=True)
        path.rename(doomed)
        path = doomed
    shutil.rmtree(path, ignore_errors=True)
