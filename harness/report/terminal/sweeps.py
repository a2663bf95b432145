"""The sweeps below a results folder, for `harness list --sweeps`."""

from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from core.errors import DataError
from harness.records.folders import ResultsFolder
from harness.report.sweep.facts import num_counted
from harness.sweep.record import SweepRecord, load_sweep
from harness.wording.numbers import plain


def sweeps_data(results: Path) -> list[dict[str, Any]]:
    """Every sweep by name; one that cannot be read with the error."""
    rows = []
    for path in ResultsFolder(results).sweep_records:
        try:
            rows.append(_row(load_sweep(path.parent)))
        except DataError as error:
            rows.append({"sweep": path.parent.name, "status": "unreadable", "error": str(error)})
    return rows


def _row(record: SweepRecord) -> dict[str, Any]:
    counted = {branch.variant: num_counted(branch) for branch in record.branches}
    is_finished = all(n >= record.num_trials for n in counted.values())
    return {
        "sweep": record.name,
        "status": "finished" if is_finished else "not finished",
        "profile": record.profile,
        "metrics": [metric.name for metric in record.metrics],
        "num_trials": record.num_trials,
        "counted": counted,
    }


def sweeps_view(results: Path) -> RenderableType:
    """The same as a table."""
    rows = sweeps_data(results)
    if not rows:
        return Text(
            f"no sweeps in {ResultsFolder(results).sweeps} yet; start with: "
            "harness sweep --variant sonic"
        )
    table = Table("sweep", "status", "profile", "searched for", "trials", box=None)
    for column in table.columns:
        column.overflow = "fold"
    for row in rows:
        trials = ", ".join(
            f"{plain(name)} {n} of {row['num_trials']}"
            for name, n in row.get("counted", {}).items()
        )
        table.add_row(
            plain(row["sweep"]),
            row["status"],
            plain(row.get("profile", "")),
            plain(", ".join(row.get("metrics", ()))),
            trials,
        )
    return table
