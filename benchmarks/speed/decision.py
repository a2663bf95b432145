"""The decision of a comparison with all its bootstraps: 664 clips, 10 seeds, 5 branches.

`decision` is what follows the reading of files: every pair of branches on nine metrics (seven of
clips, two distances by their contributions), exact tests, bootstraps over seeds, classes and clips,
power and sentences. `command` is `harness compare --from` without its imports: 50 records and 100
tables are read, held against their hashes, judged, and the comparison is written. No page is drawn.
Modules are imported before the clock starts, by a first round.
"""

import statistics
import tempfile
from pathlib import Path

from benchmarks.speed.made_records import write_runs
from benchmarks.speed.table import Row
from benchmarks.speed.timing import cpu_s

NUM_CLIPS, NUM_SEEDS, NUM_BRANCHES = 664, 10, 5


def rows(*, pairs: int) -> list[Row]:
    """CPU seconds, medians over the rounds."""
    from harness.comparison.analysis import analyse
    from harness.comparison.compare import compare_existing
    from harness.comparison.request import CompareOptions
    from harness.comparison.runs import load_runs

    times: dict[str, list[float]] = {"decision": [], "command": []}
    with tempfile.TemporaryDirectory() as name:
        results = Path(name)
        ids = write_runs(
            results, num_branches=NUM_BRANCHES, num_seeds=NUM_SEEDS, num_clips=NUM_CLIPS
        )
        runs = load_runs(ids, results=results)
        for run in runs:  # read and checked before the decision's clock starts
            _ = run.per_clip, run.contributions
        for number in range(pairs + 1):
            options = CompareOptions(results, metric="listening_rank", name=f"n{number}")
            decision = cpu_s(
                lambda: analyse(
                    runs, metric="listening_rank", folder=results / "none", command="compare"
                )
            )
            command = cpu_s(lambda given=options: compare_existing(ids, options=given))
            if number:  # the first round imports
                times["decision"].append(decision)
                times["command"].append(command)
    size = f"{NUM_BRANCHES} branches x {NUM_SEEDS} seeds x {NUM_CLIPS} clips"
    return [
        _row(f"decision and bootstraps, 9 metrics, {size}", times["decision"], goal=2.0),
        _row("the same with 50 records and 100 tables read", times["command"], goal=None),
    ]


def _row(name: str, seconds: list[float], *, goal: float | None) -> Row:
    return Row(
        name,
        statistics.median(seconds),
        "CPU s",
        goal,
        is_floor=False,
        spread=(min(seconds), max(seconds)),
        about=__doc__ or "",
        numbers={"cpu_s": seconds},
    )
