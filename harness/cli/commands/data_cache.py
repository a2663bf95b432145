"""`harness data cache`."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.commands.options import AsJson, Results, print_result


def cache(
    results: Results = Path("results"),
    stats: Annotated[bool, typer.Option("--stats", help="Show what it holds (default).")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Take away what the rules name.")] = False,
    unused: Annotated[
        bool, typer.Option(help="Rows of files that no split of these results holds.")
    ] = True,
    older_than: Annotated[
        float | None, typer.Option(metavar="DAYS", min=0, help="Rows unused for so many days.")
    ] = None,
    max_gb: Annotated[
        float | None, typer.Option(min=0, help="Least recently used rows above this size.")
    ] = None,
    keep: Annotated[
        list[Path] | None, typer.Option(metavar="LOCK", help="Splits elsewhere to keep rows of.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what --prune would take, and stop.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the cache of features, or take away what no split needs.

    What was taken is computed again when it is asked for. A folder that a process fills is left.
    """
    from core.errors import UsageError
    from harness.data.cache import Rules, prune_cache
    from harness.data.cache import stats as cache_stats
    from harness.report.terminal.data_cache import prune_view, stats_view

    if prune and stats:
        raise UsageError("--stats shows, --prune takes away; give one of them")
    if not prune:
        if dry_run or keep or older_than is not None or max_gb is not None:
            raise UsageError("--dry-run, --keep, --older-than and --max-gb go with --prune")
        found = cache_stats(results)
        print_result(stats_view(found), as_json=as_json, data=found.data())
        return
    rules = Rules(unused, older_than, max_gb, tuple(keep or ()))
    done = prune_cache(results, rules=rules, is_dry_run=dry_run)
    print_result(prune_view(done), as_json=as_json, data=done.data())
