"""Whether `harness plan` comes true, and whether a run's account of its seconds adds up.

Claims: after `harness plan --measure` (20 steps of each stage) the projection of a matrix of `tiny`
lies within 15 % of what the matrix then takes; the parts that a run books its seconds to sum to its
wall time within 2 %, of which less than 2 % has no name; and booking them, with the file of its
progress, costs less than 1 % of the time.

The three branches are measured, projected and run, one after the other in one process and one
results folder, a seed each. With `--cpu` every clock of the program is that of the process's CPU
seconds, for a machine on which others are at work; one thread computes, so that on a quiet machine
the two agree. What bookkeeping costs is counted and not derived from a difference of two runs,
which on a busy machine is noise: how often seconds were booked times what one booking takes, and
the seconds inside the calls that write progress.
"""

import argparse
import json
import os
import platform
import shutil
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

GOALS = {"projection": 0.15, "sum": 0.02, "unnamed": 0.02, "cost": 0.01}
VARIANTS = ("baseline", "sonic", "cutting_edge")
OVERRIDES = (
    "stage1.steps=60",
    "stage2.steps=60",
    "stage3.steps=16",
    "stage1.warmup_steps=10",
    "stage2.warmup_steps=10",
    "training.validate_every=60",
    "sampling.steps=4",
)
BOOKINGS = 200_000


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cpu", action="store_true", help="count CPU seconds")
    parser.add_argument(
        "--results", type=Path, help="a folder with data and features of `tiny`, which is copied"
    )
    words = parser.parse_args()
    if words.cpu:  # before anything of ours takes a clock as a default
        time.monotonic = time.perf_counter = time.process_time
    from harness.wording.display import PlainDisplay

    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        for name in ("data", "cache") if words.results is not None else ():
            shutil.copytree(words.results / name, results / name)
        content = _measured(results, display=PlainDisplay())
    content = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "clock": "CPU seconds of the process" if words.cpu else "wall",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "settings": list(OVERRIDES),
        "goals": GOALS,
        **content,
    }
    words.out.write_text(json.dumps(content, indent=2) + "\n")
    print(json.dumps(content, indent=2))


def _measured(results: Path, *, display: object) -> dict[str, object]:
    import torch

    from harness.costs.matrix import MatrixRequest, plan_matrix
    from harness.costs.measuring import measure_matrix
    from harness.run.plan import RunRequest
    from harness.run.run import run

    torch.set_num_threads(1)
    request = MatrixRequest(
        variants=VARIANTS, num_seeds=1, profile="tiny", overrides=OVERRIDES, results=results
    )
    request = measure_matrix(request, display=display)  # type: ignore[arg-type]
    planned = plan_matrix(request).devices[0]
    counter = _Counter()
    rows = []
    for variant in VARIANTS:
        counter.begin()
        record = run(
            RunRequest(variant, overrides=OVERRIDES, results=results),
            display=display,  # type: ignore[arg-type]
        )
        expected = planned.runs[variant].each.mid
        phases = {name: round(s.mid, 1) for name, s in planned.runs[variant].phases.items()}
        wall = record.cost.wall_seconds or 0.0
        parts = record.cost.parts
        rows.append(
            {
                "variant": variant,
                "projected_s": round(expected, 1),
                "took_s": round(record.total_seconds, 1),
                "projected_phases": phases,
                "took_phases": {name: round(s, 1) for name, s in record.seconds.items()},
                "wall_s": round(wall, 1),
                "parts_off": abs(sum(parts.values()) / wall - 1.0),
                "unnamed": parts.get("other", 0.0) / wall,
                "bookings": counter.num_bookings,
                "ledger_cost": counter.num_bookings * counter.booking_s / wall,
                "progress_cost": counter.progress_s / wall,
                "parts": {name: round(s, 2) for name, s in sorted(parts.items())},
            }
        )
    projected, took = (sum(float(row[k]) for row in rows) for k in ("projected_s", "took_s"))
    found = {
        "projection": abs(projected / took - 1.0),
        "sum": max(float(row["parts_off"]) for row in rows),
        "unnamed": max(float(row["unnamed"]) for row in rows),
        "cost": max(float(row["ledger_cost"]) + float(row["progress_cost"]) for row in rows),
    }
    return {
        "projected_s": round(projected, 1),
        "took_s": round(took, 1),
        "found": found,
        "meets_goals": {name: found[name] <= goal for name, goal in GOALS.items()},
        "booking_us": counter.booking_s * 1e6,
        "runs": rows,
    }


class _Counter:
    """Counts how often a run's ledger books, and the seconds in which its progress is written."""

    def __init__(self) -> None:
        from core.training.ledger import Ledger
        from harness.records.progress import ProgressFile

        ledger = Ledger()
        started = time.perf_counter()
        for _ in range(BOOKINGS):
            with ledger.spending("step"):
                pass
        self.booking_s = (time.perf_counter() - started) / (2 * BOOKINGS)
        self.begin()
        book, phase = Ledger._book, ProgressFile.phase

        def counted(ledger: Ledger) -> None:
            self.num_bookings += 1
            book(ledger)

        def timed(progress: ProgressFile, name: str, done: int, total: int) -> None:
            began = time.perf_counter()
            phase(progress, name, done, total)
            self.progress_s += time.perf_counter() - began

        Ledger._book = counted  # type: ignore[method-assign]
        ProgressFile.phase = timed  # type: ignore[method-assign]

    def begin(self) -> None:
        """Count from nothing."""
        self.num_bookings, self.progress_s = 0, 0.0


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((li.split(":")[1].strip() for li in lines if li.startswith("model name")), "")


if __name__ == "__main__":
    main()
