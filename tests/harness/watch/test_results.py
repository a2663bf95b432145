"""Comparisons and sweeps as a whole, and what a terminal shows of them."""

import json
from typing import Any

import pytest
from rich.console import Console

from core.locks import this_process
from harness.comparison.matrix import Matrix, MatrixRun
from harness.records.folders import ReportFolder
from harness.records.record import Status
from harness.records.sessions import attending
from harness.report.terminal.looking import Look
from harness.report.terminal.status import status_view
from harness.watch.results import Watcher, seconds_left
from harness.watch.state import RunStatus, State


def matrix(results: Any, *seeds: int) -> ReportFolder:
    """A comparison of sonic's runs of these seeds."""
    runs = [
        MatrixRun(run_id=results.identity(seed=s).run_id, variant="sonic", seed=s) for s in seeds
    ]
    folder = ReportFolder(results.path / "reports" / "demo")
    folder.path.mkdir(parents=True)
    content = Matrix(command="harness compare --seeds 3", metric="kid", runs=runs)
    folder.matrix.write_text(content.model_dump_json())
    return folder


def test_a_comparison_knows_its_runs_from_its_first_second_on(results: Any) -> None:
    """Catches: a comparison that is invisible until its last run has ended."""
    folder = matrix(results, 0, 1, 2)
    results.record(seed=0, cost={"seconds": {"train": 60.0}})
    results.run(seed=1, process=this_process(), progress={})
    with attending(folder.sessions, command="harness compare"):
        [found] = Watcher(results.path).snapshot().comparisons
    states = [run.state for run in found.runs]
    assert states == [State.FINISHED, State.RUNNING, State.WAITING]
    assert (found.state, found.num_done) == (State.RUNNING, 1)
    assert found.seconds_left is not None
    [after] = Watcher(results.path).snapshot().comparisons
    assert after.state is State.INTERRUPTED  # it ended, but was not concluded


def test_a_comparison_that_stopped_or_failed_says_which(results: Any) -> None:
    """Catches: a failed comparison that looks as if it only waited to be gone on with, or hides
    what it failed of."""
    folder = matrix(results, 0)
    with pytest.raises(SystemExit), attending(folder.sessions, command="x"):
        raise SystemExit(143)
    assert Watcher(results.path).comparison(folder.path).state is State.INTERRUPTED
    with pytest.raises(ValueError, match="broken"), attending(folder.sessions, command="x"):
        raise ValueError("broken")
    failed = Watcher(results.path).comparison(folder.path)
    assert (failed.state, failed.note) == (State.FAILED, "broken")


def test_time_left_is_that_of_all_runs_as_many_at_a_time_as_go_on() -> None:
    """Catches: a forecast that counts the running ones alone, or forgets that two go at a time."""

    def run(state: State, seconds: float | None = None, variant: str = "a") -> RunStatus:
        return RunStatus("x", state, variant=variant, seconds=seconds)

    runs = [run(State.FINISHED, 100), run(State.RUNNING, 40), run(State.RUNNING, 40)]
    assert seconds_left([*runs, run(State.WAITING)]) == pytest.approx((60 + 60 + 100) / 2)
    assert seconds_left([*runs, run(State.WAITING, variant="b")]) is None
    sampling = RunStatus("x", State.RUNNING, variant="b", seconds=70, seconds_left=20, step=9)
    assert seconds_left([sampling, run(State.WAITING, variant="b")]) == pytest.approx(20 + 90)


def test_sixty_columns_suffice(results: Any) -> None:
    """Catches: a line that breaks in mid-number on a phone or in half a terminal."""
    matrix(results, 0, 1, 2)
    results.record(seed=0, status=Status.FAILED, error="out of memory")
    results.run(seed=1, process=this_process(), progress={}, price=0.44)
    found = Watcher(results.path).snapshot()
    for width in (60, 120):
        console = Console(width=width, highlight=False)
        with console.capture() as capture:
            console.print(status_view(found, width=width))
        text = capture.get()
        assert max(map(len, text.splitlines())) <= width
        for word in ("stage1 4/10", "4/20", "2/s", "0.5000", "out of memory", "waiting"):
            assert word in text, (width, word)


def test_a_look_at_one_run_gives_its_command(results: Any) -> None:
    """Catches: an interrupted run of which nobody knows how to go on."""
    folder = results.run(ended="stopped")
    data, _ = Look(results.path, name=folder.path.name[:12]).now()
    assert data["command"] == "harness run --variant sonic"
    json.dumps(data)  # for scripts
