"""What a sweep costs beside its runs: CPU time of a trial's bookkeeping on a journal.

Claim: at most 10 ms a trial. A trial here is claimed with four parameters, reports ten losses
(each of which asks the pruner), notes four facts and is completed, and the record of the whole
sweep is written after it. `tpe` and `random` differ in nothing but the sampler: with `random` its
sums cost next to nothing, which is the bookkeeping; the rest of `tpe` is the sampler's own. CPU
time of the process, one thread, sizes and samplers in turn, medians. Waiting for the disk (a
journal is synced when a trial ends) shows in the clock alone.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from harness.settings.profile import ComparisonSettings
from harness.sweep.record import BranchSweep, Metric, SweepRecord
from harness.sweep.trials.opening import open_storage
from harness.sweep.trials.study import BranchStudy

SIZES = (50, 200)
ROUNDS = 5
GOAL_MS = 10.0


def _draw(trial: Any) -> dict[str, Any]:
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-5, 1e-2, log=True),
        "rank": trial.suggest_int("rank", 1, 64),
        "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        "gate": trial.suggest_categorical("gate", ["tanh", "none"]),
    }


def _record(study: BranchStudy) -> SweepRecord:
    """What `harness sweep` writes while it goes on, at most every two seconds; here each time."""
    branch = BranchSweep(
        variant="sonic",
        study=study.name,
        space=study.space(),
        trials=study.records(),
        best=study.best(),
    )
    return SweepRecord(
        name="bookkeeping",
        command="harness sweep",
        profile="tiny",
        shared_words=[],
        comparison=ComparisonSettings(),
        metrics=list(study.metrics),
        num_trials=study.num_trials,
        seed=0,
        split_hash="",
        num_validation=1,
        storage="journal",
        sampler="tpe",
        pruner="median",
        branches=[branch],
    )


def _sweep(num_trials: int, sampler: Literal["tpe", "random"]) -> tuple[float, float]:
    """CPU and clock milliseconds of a trial."""
    defaults = {"learning_rate": 1e-4, "rank": 8, "dropout": 0.1, "gate": "tanh"}
    with (
        tempfile.TemporaryDirectory() as folder,
        open_storage(None, folder=Path(folder), heartbeat_s=30, patience_s=0, say=print) as storage,
    ):
        study = BranchStudy(
            storage,
            name="bookkeeping",
            metrics=[Metric(name="kid", is_higher_better=False)],
            num_trials=num_trials,
            seed=0,
            sampler=sampler,
            startup_trials=10,
            pruner="median",
            max_retries=2,
            draw=_draw,
            default_params=defaults,
        )
        cpu, clock = time.process_time(), time.perf_counter()
        while (claim := study.claim()) is not None:
            for step in range(10):
                study.report(claim, step=step, loss=1 / (step + 1) + claim.params["dropout"])
            study.note(claim, run_id="0123456789abcdef", steps=10, seconds=1.5, device_seconds=1.0)
            study.complete(claim, [claim.params["dropout"]])
            _record(study).save(Path(folder))
        cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
        if not study.is_over():
            raise SystemExit("the sweep did not make its trials")
    return 1000 * cpu / num_trials, 1000 * clock / num_trials


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    words = parser.parse_args()
    _sweep(12, "tpe")  # imports of the sampler
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for _ in range(words.rounds):
        for num_trials in SIZES:
            for sampler in ("random", "tpe"):
                found.setdefault((sampler, num_trials), []).append(_sweep(num_trials, sampler))
    rows = []
    for num_trials in SIZES:
        cpu = {
            sampler: statistics.median(ms for ms, _ in found[sampler, num_trials])
            for sampler in ("random", "tpe")
        }
        rows.append(
            {
                "num_trials": num_trials,
                "bookkeeping_cpu_ms": round(cpu["random"], 2),
                "bookkeeping_cpu_ms_all": [
                    round(ms, 2) for ms, _ in sorted(found["random", num_trials])
                ],
                "sampler_cpu_ms": round(cpu["tpe"] - cpu["random"], 2),
                "clock_ms": round(
                    statistics.median(clock for _, clock in found["random", num_trials]), 2
                ),
            }
        )
        print(rows[-1])
    content = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "goal_cpu_ms": GOAL_MS,
        "meets_goal": all(row["bookkeeping_cpu_ms"] <= GOAL_MS for row in rows),
        "sweeps": rows,
    }
    words.out.write_text(json.dumps(content, indent=2) + "\n")


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((li.split(":")[1].strip() for li in lines if li.startswith("model name")), "")


if __name__ == "__main__":
    main()
