"""Folders of runs as processes leave them: going on, killed, stopped, of another machine, ended."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from core.locks import this_process
from harness.records.folders import RunFolder
from harness.records.record import RunIdentity, RunRecord, Status

IDENTITY: dict[str, Any] = {
    "variant": "sonic",
    "seed": 0,
    "profile": "tiny",
    "settings": {"stage1": {"lr": 1e-3, "steps": 10}},
    "variant_config": {"hidden_dim": 8},
    "split_hash": "abc",
    "code": {"variant": "1", "core": "2", "metrics": "3", "run": "4"},
    "models": {"clap": "5"},
}
GONE = {"pid": 2**22 + 1, "started": 1}
"""A process that no machine here has."""
STEP: dict[str, Any] = {
    "stage": "stage1",
    "step": 4,
    "stage_steps": 10,
    "global_step": 4,
    "total_steps": 20,
    "loss": 0.5,
    "losses": {"diffusion": 0.5},
    "grad_norm": 1.0,
    "lr": 1e-3,
    "gates": {"a": 0.1, "b": 0.3},
    "validation_loss": 0.6,
}


class Results:
    """A results folder to fill."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def identity(self, **changes: Any) -> RunIdentity:
        return RunIdentity(**{**IDENTITY, **changes})

    def run(
        self,
        *,
        process: dict[str, Any] | None = None,
        step: dict[str, Any] | None = STEP,
        progress: dict[str, Any] | None = None,
        price: float | None = None,
        ended: str | None = None,
        age_s: float = 0.0,
        **changes: Any,
    ) -> RunFolder:
        """A run without a record. process: that holds it; None: nobody. ended: how, if it did."""
        identity = self.identity(**changes)
        folder = RunFolder(self.path / "runs" / identity.run_id)
        folder.path.mkdir(parents=True)
        folder.identity.write_text(identity.model_dump_json())
        now = time.time() - age_s
        begun = {
            "session": "s1",
            "started_at": "2026-01-01T00:00:00+00:00",
            "host": (process or this_process())["host"],
            "pid": (process or GONE)["pid"],
            "process_started": (process or GONE)["started"],
            "device": "cpu",
            "price_per_hour": price,
            "command": "harness run --variant sonic",
        }
        lines = [{"begun": begun}]
        if ended is not None:
            end = {"session": "s1", "ended_at": "2026-01-01T01:00:00+00:00", "seconds": 3600.0}
            lines.append({"ended": {**end, "how": ended}})
        folder.sessions.write_text("".join(json.dumps(line) + "\n" for line in lines))
        if process is not None:
            folder.holder.write_text(json.dumps(process))
        if step is not None:
            folder.events.write_text(json.dumps(step) + "\n")
        if progress is not None:
            base = {"session": "s1", "phase": "stage1", "done": 4, "total": 10, "rate": 2.0}
            base |= {"at": now, "advanced_at": now, "global_step": 4, "total_steps": 20}
            folder.progress.write_text(json.dumps({**base, **progress}))
        for path in folder.path.iterdir():
            os.utime(path, (now, now))
        return folder

    def record(self, *, status: Status = Status.FINISHED, **changes: Any) -> RunRecord:
        """A run with a record."""
        error = changes.pop("error", None)
        cost = changes.pop("cost", {})
        metrics = changes.pop("metrics", {})
        identity = self.identity(**changes)
        record = RunRecord(
            run_id=identity.run_id,
            status=status,
            identity=identity,
            command="harness run --variant sonic",
            started_at="2026-01-01T00:00:00+00:00",
            finished_at="2026-01-01T00:01:00+00:00",
            split={"lock": "x", "hash": "abc", "counts": {}, "excluded": {}, "num_input": 1},
            error=error,
            cost=cost,
            metrics=metrics,
        )
        record.save(self.path / "runs" / identity.run_id)
        return record


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """An empty results folder."""
    return Results(tmp_path / "results")
