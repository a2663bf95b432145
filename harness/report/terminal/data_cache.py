"""What `harness data cache` prints: what the cache holds, what went and what stayed."""

import time

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from core.features.folders import CacheFolder
from harness.data.cache import Pruned, Stats
from harness.wording.numbers import few, size


def stats_view(found: Stats) -> RenderableType:
    """One line a folder."""
    if not found.folders:
        return Text(f"{found.cache_dir} holds no features")
    table = Table(box=None, pad_edge=False)
    for heading in ("kind", "rows", "size", "shards", "last used", "made with"):
        is_number = heading in ("rows", "size", "shards")
        table.add_column(heading, justify="right" if is_number else "left", no_wrap=is_number)
    for folder in found.folders:
        table.add_row(
            folder.kind,
            str(folder.num_rows),
            size(folder.size_bytes),
            str(len(folder.shards)),
            time.strftime("%Y-%m-%d", time.localtime(folder.last_used)),
            Text(_settings(folder)),
        )
    total = sum(folder.size_bytes for folder in found.folders)
    return Group(table, Text(f"{found.cache_dir}: {size(total)}"))


def prune_view(done: Pruned) -> RenderableType:
    """What went, what stayed and why."""
    verb = "would delete" if done.is_dry_run else "deleted"
    total = sum(removal.size_bytes for removal in done.removals)
    lines = [
        f"{verb} {removal.folder.path.name}: {len(removal.shards)} of "
        f"{len(removal.folder.shards)} shards, {size(removal.size_bytes)}, {removal.why.value}"
        for removal in done.removals
    ]
    lines += [f"left {path.name}: another process is filling it" for path in done.in_use]
    if done.unknown_runs:
        lines.append(
            f"the split of {few(done.unknown_runs)} was not found: its rows count as unused "
            "(--keep LOCK keeps them)"
        )
    lines.append(f"{verb} {size(total)}; rows of {done.num_splits} splits are kept")
    return Text("\n".join(lines))


def _settings(folder: CacheFolder) -> str:
    shown = {
        key: str(value)[:12] if key == "encoder" else value
        for key, value in folder.settings.items()
        if key not in ("conversion", "log_mel")
    }
    return ", ".join(f"{key} {value}" for key, value in sorted(shown.items()))
