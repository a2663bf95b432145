"""What large results cost to judge and to look at: seconds, memory and pages as the number grows.

Loads of stand-in records (`load_records.py`): the gallery of every test clip of 5 branches, which
is over the size limit of a page and so keeps its media next to it; a comparison of the same; a
comparison of runs; the report of a search. Each size in a process of its own: CPU seconds with what
it imports, its largest memory, the size of what it writes. Claim: twice the number costs at most
twice the seconds and twice the memory. With `--pages FOLDER` the largest pages stay there, to be
looked at.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

SIZES = {
    "gallery": (125, 250, 500),
    "clips": (125, 250, 500),
    "trials": (125, 250, 500),
    "runs": (20, 40, 80),
}
_CLIPS_OF_RUNS = 67


def prepare(load: str, size: int, folder: Path) -> None:
    """Write what a measurement reads."""
    from benchmarks.load_records import BRANCHES, sweep_record, write_run, write_split

    if load == "trials":
        sweep_record(size).save(folder / "sweep")
        return
    is_of_clips = load in ("gallery", "clips")
    split = write_split(folder / "pairs", num_clips=size if is_of_clips else _CLIPS_OF_RUNS)
    num_seeds = 1 if is_of_clips else size // len(BRANCHES)
    for seed in range(num_seeds):
        for branch in BRANCHES:
            write_run(folder, branch=branch, seed=seed, split=split, has_images=is_of_clips)


def measure(load: str, folder: Path) -> dict[str, object]:
    """Judge and draw; the numbers of this process."""
    began = time.process_time()
    if load == "trials":
        from harness.report.sweep.write import write_sweep_report

        out = folder / "sweep"
        written = write_sweep_report(out)
    else:
        from harness.comparison.analysis import analyse
        from harness.comparison.runs import load_run
        from harness.report.comparison.write import write_comparison_report, write_runs_report

        out = folder / "reports" / "compare-load"
        runs = [load_run(path) for path in sorted((folder / "runs").iterdir())]
        if load == "gallery":
            written = write_runs_report(runs, results=folder, out=out)
        else:
            analyse(runs, metric="listening_rank", folder=out, command="harness compare").save(out)
            written = write_comparison_report(out)
    return {
        "cpu_s": round(time.process_time() - began, 2),
        "peak_MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "page_kB": written.page.stat().st_size // 1000,
        "is_self_contained": written.is_self_contained,
        "folder_MB": sum(p.stat().st_size for p in out.rglob("*") if p.is_file()) // 1_000_000,
        "page": str(written.page),
    }


def _doubled(rows: dict[int, dict[str, object]]) -> dict[str, float]:
    """What the largest number costs, over half of it."""
    half, whole = (rows[size] for size in sorted(rows)[-2:])
    return {
        name: round(float(str(whole[name])) / float(str(half[name])), 2)
        for name in ("cpu_s", "peak_MiB")
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--pages", type=Path)
    parser.add_argument("--only", choices=sorted(SIZES))
    parser.add_argument("--child", nargs=2, metavar=("LOAD", "FOLDER"))
    words = parser.parse_args()
    if words.child:
        print(json.dumps(measure(words.child[0], Path(words.child[1]))))
        return
    found: dict[str, dict[int, dict[str, object]]] = {}
    for load in [words.only] if words.only else SIZES:
        for size in SIZES[load]:
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary)
                prepare(load, size, folder)
                command = [sys.executable, "-m", "benchmarks.load", "--child", load, str(folder)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                row = json.loads(done.stdout.splitlines()[-1])
                page = Path(row.pop("page"))
                if words.pages and size == SIZES[load][-1]:
                    shutil.copytree(page.parent, words.pages / load, dirs_exist_ok=True)
            found.setdefault(load, {})[size] = row
            print(load, size, row, flush=True)
    content = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "rows": found,
        "whole_over_half": {load: _doubled(rows) for load, rows in found.items()},
    }
    if words.out:
        words.out.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
