"""Sweeps as `list`, `show` and `report` find and tell them."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from core.errors import DataError, UsageError
from harness.cli.main import app
from harness.cli.report_targets import write_reports
from harness.records.names import named_sweep
from harness.report.sweep.write import write_sweep_report
from harness.sweep.record import SweepRecord

Save = Callable[[SweepRecord], Path]


def test_a_sweep_is_named_by_the_start_of_its_name(made: Any, saved: Save) -> None:
    """Catches: a name that is ambiguous, or not found, silently taken for another."""
    folder = saved(made.sweep())
    saved(made.sweep(name="first-other"))
    results = folder.parent.parent
    assert named_sweep("first-s", results=results) == folder
    assert named_sweep(str(folder / "sweep.json"), results=results) == folder
    assert named_sweep("second", results=results) is None
    with pytest.raises(UsageError, match="matches 2 sweeps"):
        named_sweep("first", results=results)


def test_sweeps_are_listed(made: Any, saved: Save, tmp_path: Path) -> None:
    """Catches: sweeps that only a look into the folder finds; a bad one that hides the rest."""
    results = str(tmp_path / "results")
    none = CliRunner().invoke(app, ["list", "--sweeps", "--results", results])
    assert "no sweeps in" in none.output
    saved(made.sweep())
    bad = saved(made.sweep(name="bad"))
    (bad / "sweep.json").write_text("{}")
    shown = CliRunner().invoke(app, ["list", "--sweeps", "--results", results])
    assert "sonic 24 of 24" in shown.output
    told = CliRunner().invoke(app, ["list", "--sweeps", "--results", results, "--json"])
    rows = json.loads(told.output)
    assert [(row["sweep"], row["status"]) for row in rows] == [
        ("bad", "unreadable"),
        ("first-search", "finished"),
    ]


def test_report_and_show_take_a_sweep(made: Any, saved: Save) -> None:
    """Catches: `report` and `show` that look for a run of that name alone."""
    folder = saved(made.sweep())
    results = folder.parent.parent
    (written,) = write_reports(["first-search"], results=results, max_bytes=10**6)
    assert written.data()["sweep"] == str(folder / "sweep.json")
    assert written.page == folder / "index.html"
    shown = CliRunner().invoke(app, ["show", "first-search", "--results", str(results)])
    assert shown.exit_code == 0, shown.output
    assert "trial 17, has validation loss 0.08120" in shown.output
    assert re.search(r"sonic\s+24 of 24\s+18\s+4\s+2\s+1\s+1\s+1,546", shown.output)
    as_json = CliRunner().invoke(app, ["show", "first", "--results", str(results), "--json"])
    assert json.loads(as_json.output)["branches"][0]["best"] == 17


def test_a_folder_without_a_sweep_is_refused(tmp_path: Path) -> None:
    """Catches: a page about nothing."""
    with pytest.raises(DataError, match="no sweep at"):
        write_sweep_report(tmp_path)
