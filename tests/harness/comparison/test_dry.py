"""`--dry-run` of run, compare and sweep: what is there, what is left, and nothing is written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from harness.cli.main import app
from harness.run.plan import RunRequest

MakeRequest = Callable[..., RunRequest]


def asked(*words: str, **options: Any) -> dict[str, Any]:
    done = CliRunner().invoke(app, [*words, "--dry-run", "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def shared(request: RunRequest) -> list[str]:
    """The words of what all runs share."""
    words = [word for item in request.overrides for word in ("--set", item)]
    return [*words, "--data", str(request.data), "--results", str(request.results)]


def files_of(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_what_is_there_of_a_comparison_is_told_and_nothing_is_written(
    finished: Any, small_request: MakeRequest
) -> None:
    """Catches: a finished run that counts as work, a run that would take over another's training
    and counts as new, a look that leaves a folder, a lock or an order behind."""
    results = finished.request.results
    before = files_of(results)
    words = ["compare", "--variants", "baseline,sonic", "--seeds", "2", "--name", "a-dry-one"]
    found = asked(*words, *shared(small_request()), "--price-per-hour", "0.5")
    first, *others = found["runs"]
    assert (first["run_id"], first["status"]) == (finished.record.run_id, "finished")
    assert len(others) == 3
    assert found["num_runs"] == sum(found["counts"].values()) == 4
    assert found["dollars"]["mid"] == found["hours"]["mid"] * 0.5
    assert found["branches"][0]["steps"] == {"stage1": 2, "stage2": 2, "stage3": 1}
    # Another guidance of sampling is another run of the same training.
    other = small_request("sampling.text_guidance=1.37")
    found = asked(*words, *shared(other))
    assert found["runs"][0]["status"] == "trained"
    assert found["runs"][0]["taken_from"].startswith("baseline-s0-")
    assert (found["runs"][0]["step"], found["runs"][0]["total_steps"]) == (5, 5)
    sweep = asked("sweep", "--variant", "sonic", "--trials", "4", *shared(small_request()))
    assert (sweep["branches"][0]["trials_done"], sweep["branches"][0]["trials_left"]) == (0, 4)
    assert sweep["sweep"].startswith("sonic-s1000-")
    assert files_of(results) == before


def test_data_that_nobody_read_is_not_read_for_a_look(
    small_request: MakeRequest, tmp_path: Path
) -> None:
    """Catches: a look that scans a folder of media for minutes and leaves a manifest behind."""
    request = small_request(results=tmp_path / "none")
    found = asked("compare", "--variants", "baseline,sonic", *shared(request))
    assert found["runs"] is None
    assert "was not read" in found["unread"]
    assert found["missing"] == []
    run = asked("run", "--variant", "sonic", *shared(request))
    assert (run["run_id"], run["unread"]) == (None, found["unread"])
    assert asked("sweep", "--variant", "sonic", *shared(request))["unread"] == found["unread"]
    assert not (tmp_path / "none").exists()


def test_a_matrix_without_weights_or_data_is_planned(tmp_path: Path) -> None:
    """Catches: a look at full size that fails for want of what it is to be bought for."""
    words = ["--profile", "sd15", "--results", str(tmp_path / "none")]
    found = asked("compare", *words, "--seeds", "6")
    assert found["num_runs"] == 18
    assert found["branches"][0]["steps"] == {"stage1": 3000, "stage2": 7000, "stage3": 2000}
    assert any("weights get" in line for line in found["missing"])
    assert any("--data" in line for line in found["missing"])
    assert found["disk_bytes"] > 18 * 1e9
    sweep = asked("sweep", "--variants", "baseline,sonic", "--trials", "5", *words)
    assert [branch["trials_left"] for branch in sweep["branches"]] == [5, 5]
    assert sweep["missing"] == found["missing"]
    assert not (tmp_path / "none").exists()


def test_a_limit_that_will_be_reached_is_said(finished: Any, small_request: MakeRequest) -> None:
    """Catches: a limit that stops a comparison half way, of which the look before said nothing."""
    words = ["compare", "--variants", "baseline,sonic", *shared(small_request()), "--dry-run"]
    price = ["--price-per-hour", "0.5"]
    low = CliRunner().invoke(app, [*words, *price, "--max-cost", "0.000001"]).stdout
    assert "it would stop before it is done" in low
    assert "enough for" in CliRunner().invoke(app, [*words, *price, "--max-cost", "90"]).stdout
    assert CliRunner().invoke(app, [*words, "--max-cost", "90"]).exit_code != 0
    run_id = finished.record.run_id
    refused = CliRunner().invoke(app, ["compare", "--from", run_id, "--dry-run"])
    assert "--dry-run" in str(refused.exception)
