"""What `harness data cache` prints: what the cache holds, what went and what stayed."""

import time
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from core.features.folders import CacheFolder
from harness.data.cache import Pruned, Stats


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
            _size(folder.size_bytes),
            str(len(folder.shards)),
            time.strftime("%Y-%m-%d", time.localtime(folder.last_used)),
            Text(_settings(folder)),
        )
    total = sum(folder.size_bytes for folder in found.folders)
    return Group(table, Text(f"{found.cache_dir}: {_size(total)}"))


def prune_view(done: Pruned) -> RenderableType:
    """What went, what stayed and why."""
    verb = "would take" if done.is_dry_run else "took"
    total = sum(removal.size_bytes for removal in done.removals)
    lines = [
        f"{verb} {removal.folder.path.name}: {len(removal.shards)} of "
        f"{len(removal.folder.shards)} shards, {_size(removal.size_bytes)}, {removal.why.value}"
        for removal in done.removals
    ]
    lines += [f"left {path.name}: a process fills it" for path in done.in_use]
    if done.unknown_runs:
        lines.append(
            f"the split of {_few(done.unknown_runs)} was not found: its rows count as unused "
            "(--keep LOCK keeps them)"
        )
    lines.append(f"{verb} {_size(total)}; rows of {done.num_splits} splits are kept")
    return Text("\n".join(lines))


def _settings(folder: CacheFolder) -> str:
    shown = {
        key: str(value)[:12] if key == "encoder" else value
        for key, value in folder.settings.items()
        if key not in ("conversion", "log_mel")
    }
    return ", ".join(f"{key} {value}" for key, value in sorted(shown.items()))


def _few(names: Sequence[str]) -> str:
    more = len(names) - 3
    return ", ".join(names[:3]) + (f" and {more} more" if more > 0 else "")


def _size(num_bytes: int) -> str:
    value = float(num_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
