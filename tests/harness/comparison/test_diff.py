"""What two runs differ in."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from core.errors import UsageError
from harness.cli.main import app
from harness.comparison.diff import diff
from harness.records.names import Kind, Named
from harness.records.record import RunIdentity


def test_a_run_and_an_open_one_differ_in_settings_and_have_numbers_where_there_are_any(
    finished: Any, tmp_path: Path
) -> None:
    """Catches: a changed setting that is not named, equal ones that are, an unfinished run that
    cannot be held against anything."""
    runs = tmp_path / "runs"
    runs.mkdir()
    (runs / finished.record.run_id).symlink_to(finished.folder)
    identity = finished.record.identity
    settings = json.loads(json.dumps(identity.settings))
    settings["stage2"]["lr"] = 7e-7
    other = RunIdentity(**{**identity.model_dump(), "settings": settings, "seed": 5})
    (runs / other.run_id).mkdir()
    (runs / other.run_id / "identity.json").write_text(other.model_dump_json())
    found = diff(finished.record.run_id, other.run_id, results=tmp_path)
    changed = {row.name: (row.first, row.second) for row in found.settings}
    own = {k: v for k, v in changed.items() if not k.startswith(("environment.", "device"))}
    assert own == {"seed": (0, 5), "stage2.lr": (identity.settings["stage2"]["lr"], 7e-7)}
    numbers = {row.name: row for row in found.numbers}
    assert numbers["steps"].first == finished.record.steps_done
    assert numbers["steps"].second is None
    same = diff(finished.record.run_id, finished.record.run_id, results=tmp_path)
    assert not same.settings
    assert all(row.difference in (None, 0.0) for row in same.numbers)
    done = CliRunner().invoke(
        app, ["diff", finished.record.run_id, other.run_id, "--results", str(tmp_path), "--json"]
    )
    assert done.exit_code == 0
    assert json.loads(done.output)["settings"]["seed"] == [0, 5]


def test_a_run_and_a_comparison_are_not_held_against_each_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Catches: a traceback, or an empty table, for two things of different kinds."""
    kinds = iter([Kind.RUN, Kind.COMPARISON])
    monkeypatch.setattr(
        "harness.comparison.diff.named",
        lambda word, results: Named(next(kinds), tmp_path / word),
    )
    with pytest.raises(UsageError, match="a is a run and b is a comparison; name two"):
        diff("a", "b", results=tmp_path)
