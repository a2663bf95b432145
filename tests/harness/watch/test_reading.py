"""The state of a run, from what processes leave in its folder."""

import socket
from typing import Any

import pytest

from core.locks import this_process
from harness.records.folders import RunFolder
from harness.records.record import Status
from harness.watch.presence import SILENT_AFTER_S
from harness.watch.reading import Records, run_status
from harness.watch.state import RunStatus, State

GONE = {"pid": 2**22 + 1, "started": 1}


def status(folder: RunFolder) -> RunStatus:
    return run_status(folder.path, records=Records())


def test_a_run_that_goes_on_says_how_far_and_how_long(results: Any) -> None:
    """Catches: a time left that forgets the stages to come, or gates and losses that are lost."""
    found = status(results.run(process=this_process(), progress={}, price=3.6))
    assert (found.state, found.phase, found.done, found.total) == (State.RUNNING, "stage1", 4, 10)
    assert (found.step, found.total_steps, found.rate) == (4, 20, 2.0)
    assert found.left_of == "training"
    assert found.seconds_left == pytest.approx((20 - 4) / 2.0, abs=1)
    assert (found.loss, found.validation_loss, found.gates) == (0.5, 0.6, (0.1, 0.3))


def test_sampling_and_scoring_count_as_progress(results: Any) -> None:
    """Catches: a run that looks finished, or stuck at its last step, while it samples."""
    progress = {"phase": "sampling", "done": 30, "total": 90, "rate": 3.0}
    found = status(results.run(process=this_process(), progress=progress))
    assert (found.phase, found.done, found.total, found.left_of) == ("sampling", 30, 90, "sampling")
    assert found.seconds_left == pytest.approx(20, abs=1)


def test_a_killed_run_is_interrupted_and_says_so(results: Any) -> None:
    """Catches: kill -9 leaves holder.json, which would pass for a process for ever."""
    holder = {"host": socket.gethostname(), **GONE}
    found = status(results.run(process=holder, progress={"at": 1767225700.0}, price=3.6))
    assert found.state is State.INTERRUPTED
    assert "without a word" in found.note
    assert found.seconds_left is None
    # 2026-01-01 00:01:40, 100 s after it began: the last sign of life is what it is known to cost.
    assert found.seconds == pytest.approx(100)
    assert found.dollars == pytest.approx(0.1)


def test_a_stopped_run_says_how_and_what_it_cost(results: Any) -> None:
    """Catches: an interrupted run of which nobody can say when it ended, or what it took."""
    found = status(results.run(ended="stopped", price=0.5))
    assert (found.state, found.seconds, found.dollars) == (State.INTERRUPTED, 3600.0, 0.5)
    assert found.note == "stopped 2026-01-01 01:00 UTC"


def test_a_process_of_another_machine_is_judged_by_its_files(results: Any) -> None:
    """Catches: a shared folder on which every other machine's run looks dead, or alive for ever."""
    elsewhere = {"host": "another-machine", **GONE}
    fresh = status(results.run(process=elsewhere, progress={}))
    assert fresh.state is State.RUNNING
    assert "another-machine, judged by its files" in fresh.note
    old = status(results.run(process=elsewhere, progress={}, age_s=SILENT_AFTER_S + 60, seed=1))
    assert old.state is State.SILENT
    assert "no sign of another-machine" in old.note


def test_a_failed_run_that_is_tried_again_is_running(results: Any) -> None:
    """Catches: the old record of a failure shown while the run goes on."""
    folder = results.run(process=this_process(), progress={})
    results.record(status=Status.FAILED, error="a loss that is not a number")
    assert status(folder).state is State.RUNNING
    folder.holder.unlink()
    found = status(folder)
    assert (found.state, found.note) == (State.FAILED, "a loss that is not a number")


def test_damaged_files_end_no_look(results: Any) -> None:
    """Catches: a status that fails whole on half a line of one run."""
    folder = results.run(process=this_process(), progress={})
    for path in (folder.events, folder.progress, folder.sessions, folder.identity):
        path.write_bytes(b'{"half": \xff')
    assert status(folder).state is State.RUNNING
    folder.record.write_text("{")
    folder.holder.unlink()
    assert status(folder).state is State.UNREADABLE
