"""What `make demo` costs in CPU seconds, where they go, and what asking again costs.

The command runs as a user gives it, `harness compare --seeds N` in a folder of its own, and the CPU
seconds are those of all processes that it starts: of the runs' too, which are forked from a server
and are nobody's children once the command has ended (Linux alone can adopt them). Then the same
command is given again, three times, which finds everything finished.

Where they go is read from the records: the CPU seconds of the stages (`train_device_seconds`, on a
CPU its own clock), and the ledger of each run, whose seconds are by the wall and so are told as
shares of a run. `--results` of a finished demo reads its records and runs nothing but the command
again; its total, if it is known, is given by `--total`.
"""

import argparse
import ctypes
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_AGAIN = 3


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=0)
    parser.add_argument("--results", type=Path, help="of a finished demo; nothing is trained then")
    parser.add_argument("--total", type=float, help="CPU seconds that the finished demo took")
    words = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        results = words.results or Path(folder) / "results"
        command = ["compare", "--seeds", str(words.seeds), "--results", str(results)]
        loads = [os.getloadavg()[0]]
        total = words.total
        if words.results is None:
            total = cpu_seconds([*command, "--jobs", str(words.jobs)])
            loads.append(os.getloadavg()[0])
        again = [round(cpu_seconds(command), 2) for _ in range(_AGAIN)]
        content = {
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "load": [round(load, 1) for load in loads],
            "python": platform.python_version(),
            "total_cpu_s": None if total is None else round(total, 1),
            **profile_of(results / "runs"),
            "finished_again_cpu_s": again,
        }
    text = json.dumps(content, indent=2)
    if words.out is not None:
        words.out.write_text(text + "\n")
    print(text)


def cpu_seconds(words: Sequence[str]) -> float:
    """User and system seconds of a `harness` command and of every process that comes of it.

    Raises: CalledProcessError where it fails.
    """
    script = (
        "import ctypes, os, subprocess, sys\n"
        f"ctypes.CDLL(None).prctl({_PR_SET_CHILD_SUBREAPER}, 1, 0, 0, 0)\n"
        "code = subprocess.call([sys.executable, '-m', 'harness', *sys.argv[1:]], stdout=2)\n"
        "try:\n    while True: os.wait()\nexcept ChildProcessError: sys.exit(code)\n"
    )
    if not hasattr(ctypes.CDLL(None), "prctl"):
        sys.exit("only Linux adopts the processes of a command; on another system nothing counts")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", script, *words], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def profile_of(runs: Path) -> dict[str, object]:
    """By branch: its runs, the CPU seconds of their stages, and the shares of their ledgers."""
    records: dict[str, list[dict[str, object]]] = {}
    for path in sorted(runs.glob("*/record.json")):
        record = json.loads(path.read_bytes())
        records.setdefault(record["identity"]["variant"], []).append(record["cost"])
    branches = {}
    for variant, costs in records.items():
        parts: Counter[str] = Counter()
        for cost in costs:
            for session in cost["sessions"]:  # type: ignore[attr-defined]
                parts.update(session["parts"])
        whole = sum(parts.values())
        trained = [float(cost["train_device_seconds"]) for cost in costs]  # type: ignore[arg-type]
        branches[variant] = {
            "runs": len(costs),
            "stages_cpu_s": [round(seconds, 1) for seconds in trained],
            "stages_cpu_s_median": round(statistics.median(trained), 1),
            "wall_s": round(whole, 1),
            "share": {name: round(s / whole, 4) for name, s in parts.most_common()},
        }
    return {"branches": branches}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
