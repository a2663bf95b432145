"""`harness data cache`."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.commands.options import AsJson, Results, print_result


def cache(
    results: Results = Path("results"),
    stats: Annotated[
        bool, typer.Option("--stats", help="Show what the cache holds (default).")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete cached rows that match the rules below.")
    ] = False,
    unused: Annotated[
        bool, typer.Option(help="Delete rows of files that no split of these results contains.")
    ] = True,
    older_than: Annotated[
        float | None,
        typer.Option(metavar="DAYS", min=0, help="Delete rows unused for this many days."),
    ] = None,
    max_gb: Annotated[
        float | None,
        typer.Option(min=0, help="Delete the least recently used rows above this total size."),
    ] = None,
    keep: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="LOCK", help="Also keep the rows of this split (a lock file elsewhere)."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what --prune would delete, and stop.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the cache of features, or delete rows that no split needs.

    A deleted row is computed again when a run needs it. A folder that a process is filling is left.
    """
    from core.errors import UsageError
    from harness.data.cache import Rules, prune_cache
    from harness.data.cache import stats as cache_stats
    from harness.report.terminal.data_cache import prune_view, stats_view

    if prune and stats:
        raise UsageError("--stats and --prune cannot be combined; choose either one")
    if not prune:
        if dry_run or keep or older_than is not None or max_gb is not None:
            raise UsageError("--dry-run, --keep, --older-than and --max-gb require --prune")
        found = cache_stats(results)
        print_result(stats_view(found), as_json=as_json, data=found.data())
        return
    rules = Rules(unused=unused, older_than_days=older_than, max_gb=max_gb, keep=tuple(keep or ()))
    done = prune_cache(results, rules=rules, is_dry_run=dry_run)
    print_result(prune_view(done), as_json=as_json, data=done.data())
