"""How time and memory grow when existing records are read and compared.

A process of its own for each size compares records that lie on disk (`harness compare --from`,
without its page), or lists them and shows their status. First it does the same with a few small
ones, so that imports are in neither number. The slope is that of log CPU time, and of log memory
added, over log N, fitted over the sizes; CPU time is the median of the repeats, memory that of the
first. A comparison judges every pair of branches: 1, 3, 6 and 10 of 2, 3, 4 and 5.
"""

import argparse
import contextlib
import io
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.made_records import write_runs
from benchmarks.speed.table import Row
from benchmarks.speed.timing import child, cpu_s, peak_mib, say

MAX_SLOPE = 1.05
REPEATS = 3
BASE = {"clips": 664, "seeds": 6, "branches": 2}
SIZES: dict[str, tuple[int, ...]] = {
    "clips": (664, 1_328, 2_656),
    "seeds": (4, 8, 16),
    "branches": (2, 3, 4, 5),
    "runs": (100, 200, 400),
}
CLIPS_OF_LISTED_RUNS = 20


def rows(*, repeats: int = REPEATS) -> list[Row]:
    """Slopes of time and memory in clips, seeds, branches and runs."""
    found = []
    for what, sizes in SIZES.items():
        points = []
        for size in sizes:
            say(f"growth in {what}: {size:,}")
            points.append({what: size, **_point(what, size, repeats=repeats)})
        verb = "listing and status" if what == "runs" else "comparing"
        for key, name in (("cpu_s", "CPU time"), ("added_mib", "memory")):
            found.append(
                Row(
                    f"slope of {name} of {verb} in {what}, {sizes[0]:,} to {sizes[-1]:,}",
                    _slope([(point[what], point[key]) for point in points]),
                    "",
                    MAX_SLOPE,
                    is_floor=False,
                    about=__doc__ or "",
                    numbers={"points": points},
                )
            )
    return found


def _point(what: str, size: int, *, repeats: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        few, many = Path(name) / "few", Path(name) / "many"
        write_runs(few, num_branches=2, num_seeds=3, num_clips=40)
        if what == "runs":
            write_runs(many, num_branches=2, num_seeds=size // 2, num_clips=CLIPS_OF_LISTED_RUNS)
        else:
            sizes = {**BASE, what: size}
            write_runs(
                many,
                num_branches=sizes["branches"],
                num_seeds=sizes["seeds"],
                num_clips=sizes["clips"],
            )
        words = [sys.executable, "-m", "benchmarks.speed.growth", str(few), str(many)]
        said = child([*words, "--what", what, "--repeats", str(repeats)]).stdout
    return dict(json.loads(said))


def _slope(points: list[tuple[float, float]]) -> float:
    sizes, values = zip(*points, strict=True)
    return float(np.polyfit(np.log(sizes), np.log(np.maximum(values, 1e-3)), 1)[0])


def measure(few: Path, many: Path, *, what: str, repeats: int) -> dict[str, float]:
    """CPU seconds and added MiB of reading `many`, in a process that has read `few`."""
    work = _listed if what == "runs" else _compared
    work(few)
    before = peak_mib()
    seconds = [cpu_s(lambda: work(many))]
    added = peak_mib() - before
    seconds += [cpu_s(lambda: work(many)) for _ in range(repeats - 1)]
    return {"cpu_s": statistics.median(seconds), "added_mib": added}


def _compared(results: Path) -> None:
    from harness.comparison.compare import compare_existing
    from harness.comparison.request import CompareOptions

    ids = sorted(path.name for path in (results / "runs").iterdir())
    shutil.rmtree(results / "reports", ignore_errors=True)  # what is known is not judged again
    options = CompareOptions(results, metric="listening_rank", name="all")
    compare_existing(ids, options=options)


def _listed(results: Path) -> None:
    for words in (["list", "--runs"], ["status"]):
        _say_nothing(_command([*words, "--results", str(results)]))


def _command(words: list[str]) -> Callable[[], Any]:
    import typer

    from harness.cli.main import app

    return lambda: typer.main.get_command(app)(words, standalone_mode=False)


def _say_nothing(work: Callable[[], Any]) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        work()


def main() -> None:
    """The child's part."""
    parser = argparse.ArgumentParser()
    parser.add_argument("few", type=Path)
    parser.add_argument("many", type=Path)
    parser.add_argument("--what", choices=SIZES, required=True)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    given = parser.parse_args()
    print(json.dumps(measure(given.few, given.many, what=given.what, repeats=given.repeats)))


if __name__ == "__main__":
    main()
