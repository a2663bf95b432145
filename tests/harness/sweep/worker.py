"""A coordinator with a cheap objective: claims, reports, completes until the sweep is over.

Started by the tests as a process: worker.py URL NUM_TRIALS [WORD=VALUE ...]
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

from harness.sweep.record import Metric
from harness.sweep.trials import opening
from harness.sweep.trials.storage import SweepStorage
from harness.sweep.trials.study import BranchStudy

KID = Metric(name="kid", is_higher_better=False)
DEFAULTS = {"lr": 0.0, "depth": 2, "kind": "plain"}


def draw(trial: Any) -> dict[str, Any]:
    """A space with a conditional part, whose `lr` does not hold the default."""
    settings = {
        "lr": trial.suggest_float("lr", 1e-5, 1e-2, log=True),
        "depth": trial.suggest_int("depth", 1, 4),
        "kind": trial.suggest_categorical("kind", ["plain", "gated"]),
    }
    if settings["kind"] == "gated":
        settings["gate"] = trial.suggest_float("gate", 0.0, 1.0)
    return settings


def loss_of(params: dict[str, Any]) -> float:
    """The objective, of whatever was drawn."""
    return params.get("lr", 0.0) * 100 + params["depth"] + params.get("gate", 0.5)


def open_study(storage: SweepStorage, **changes: Any) -> BranchStudy:
    """The study that all tests share the words of."""
    words: dict[str, Any] = {
        "name": "sweep/tested branch",
        "metrics": [KID],
        "num_trials": 12,
        "seed": 3,
        "sampler": "tpe",
        "startup_trials": 4,
        "pruner": "median",
        "max_retries": 2,
        "draw": draw,
        "default_params": DEFAULTS,
    }
    return BranchStudy(storage, **{**words, **changes})


def open_storage(url: str, say: Any = print, **changes: Any) -> SweepStorage:
    """With beats fast enough for a test."""
    words: dict[str, Any] = {"folder": Path(), "heartbeat_s": 0.3, "patience_s": 60.0, "say": say}
    return opening.open_storage(url, **{**words, **changes})


def work(study: BranchStudy, *, pause_s: float = 0.0) -> None:
    """Make trials until the study is over."""
    while not study.is_over():
        claim = study.claim()
        if claim is None:
            time.sleep(0.05)
            continue
        print(f"claimed {claim.number}", flush=True)
        is_pruned = False
        for step in range(3):
            time.sleep(pause_s)
            loss = loss_of(claim.params) + 1 / (step + 1)
            if study.report(claim, step=step, loss=loss):
                is_pruned = True
                break
        study.note(claim, run_id=f"run-{claim.number}", steps=3, worker=os.getpid())
        if is_pruned:
            study.prune(claim)
        else:
            study.complete(claim, [loss_of(claim.params)])


def main() -> None:
    """Work on the storage of the first word."""
    url, num_trials = sys.argv[1], int(sys.argv[2])
    words = dict(word.split("=") for word in sys.argv[3:])
    with open_storage(url, say=lambda text: print(text, flush=True)) as storage:
        study = open_study(storage, num_trials=num_trials)
        work(study, pause_s=float(words.get("pause_s", 0.01)))


if __name__ == "__main__":
    main()
