"""The runs and comparisons below a results folder, for `harness list`."""

from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from harness.metrics.registry import HEADLINE
from harness.records.folders import ResultsFolder
from harness.watch.results import Watcher
from harness.watch.state import RunStatus, State
from harness.wording.numbers import count, fixed
from harness.wording.plain_text import plain


def runs_data(results: Path) -> list[dict[str, Any]]:
    """Every run on the test clips: what goes on first, then the newest."""
    snapshot = Watcher(results).snapshot()
    names = {folder.name for folder in ResultsFolder(results).run_folders}
    return [_run_row(run) for run in snapshot.runs if run.run_id in names]


def _run_row(run: RunStatus) -> dict[str, Any]:
    row: dict[str, Any] = {
        "run_id": run.run_id,
        "status": run.state.value,
        "profile": run.profile,
        "finished_at": run.finished_at or "",
        HEADLINE.name: run.value,
    }
    if run.state is State.UNREADABLE:
        row["error"] = run.note
    elif run.is_open:
        row |= {"step": run.step, "total_steps": run.total_steps, "phase": run.phase}
    return row


def runs_view(results: Path) -> RenderableType:
    """The same as a table."""
    rows = runs_data(results)
    if not rows:
        return Text(
            f"no runs in {ResultsFolder(results).runs} yet; start with: "
            "harness run --variant baseline"
        )
    table = Table("run", "status", "profile", "finished", HEADLINE.label, box=None)
    for column in table.columns:
        column.overflow = "fold"  # an id that is cut names nothing
    for row in rows:
        ended = row["finished_at"]
        if row.get("step") is not None:
            ended = f"step {row['step']} of {row['total_steps']}"
        table.add_row(
            row["run_id"], row["status"], row["profile"], ended, fixed(row[HEADLINE.name])
        )
    return table


def comparisons_data(results: Path) -> list[dict[str, Any]]:
    """Every comparison: what goes on first."""
    return [comparison.data() for comparison in Watcher(results).snapshot().comparisons]


def comparisons_view(results: Path) -> RenderableType:
    """The same as a table."""
    rows = comparisons_data(results)
    if not rows:
        return Text(
            f"no comparisons in {ResultsFolder(results).reports} yet; start with: harness compare"
        )
    table = Table("comparison", "status", "runs", "verdict", box=None)
    for column in table.columns:
        column.overflow = "fold"
    for row in rows:
        runs = f"{row['num_done']} of {count(row['num_runs'], 'run')}" if row["num_runs"] else ""
        told = row["note"] if row["state"] == State.UNREADABLE.value else row["verdict"]
        table.add_row(plain(row["comparison"]), row["state"], runs, Text(plain(told or "")))
    return table
