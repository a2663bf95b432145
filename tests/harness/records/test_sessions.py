"""Which processes worked on a run, and how far they say that they are."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.records.folders import RunFolder
from harness.records.progress import Progress, ProgressFile, read_progress
from harness.records.sessions import End, SessionJournal, close_lost, is_going, new_session


def test_a_session_is_one_line_of_the_ledger_with_its_end(tmp_path: Path) -> None:
    """Catches: a process whose time, price or end is lost, or counted twice."""
    journal = SessionJournal(tmp_path / "sessions.jsonl")
    first = new_session(command="harness run", device="cpu", price_per_hour=0.5)
    journal.begin(first)
    assert is_going(journal.sessions[0])
    ended = first.model_copy(update={"how": End.STOPPED.value, "seconds": 7200.0, "step": 9})
    journal.end(ended)
    journal.end(ended.model_copy(update={"how": End.KILLED.value, "seconds": 1.0}))
    [found] = journal.sessions
    assert (found.how, found.seconds, found.dollars, found.step) == ("stopped", 7200.0, 1.0, 9)
    assert not is_going(found)
    assert not {"host", "pid", "command"} & set(found.facts.model_dump())


def test_a_killed_process_is_closed_by_the_next_one_at_its_last_sign(tmp_path: Path) -> None:
    """Catches: a spot machine's hours that nobody counts."""
    files = RunFolder(tmp_path)
    journal = SessionJournal(files.sessions)
    session = new_session(command="x").model_copy(
        update={"started_at": "2026-01-01T00:00:00+00:00"}
    )
    journal.begin(session)
    progress = Progress(
        session=session.session, phase="stage1", done=1, total=2, global_step=1,
        advanced_at=0.0, at=1767225600.0 + 90, parts={"forward": 80.0},
    )  # fmt: skip
    files.progress.write_text(progress.model_dump_json())
    close_lost(tmp_path)
    close_lost(tmp_path)
    [found] = journal.sessions
    assert (found.how, found.seconds, found.step) == ("killed", 90.0, 1)
    assert found.parts == {"forward": 80.0}
    assert journal.count == 2


def test_half_a_line_hides_no_session(tmp_path: Path) -> None:
    """Catches: a kill in mid-line after which all earlier sessions are gone."""
    journal = SessionJournal(tmp_path / "sessions.jsonl")
    journal.begin(new_session(command="x"))
    with (tmp_path / "sessions.jsonl").open("ab") as file:
        file.write(b'{"ended": {"sess')
    journal.begin(new_session(command="y"))
    assert [session.command for session in journal.sessions] == ["x", "y"]


def test_progress_tells_rate_and_step_and_leaves_no_other_file(tmp_path: Path) -> None:
    """Catches: a rate over the whole run, which resumes and validation spoil; files left over."""
    clock = SimpleNamespace(now=1000.0)
    path = tmp_path / "progress.json"
    with ProgressFile(path, session="s", clock=lambda: clock.now) as progress:
        for step in range(1, 101):
            clock.now += 1.0 if step < 50 else 0.5
            report = SimpleNamespace(
                stage="stage1", step=step, stage_steps=100, global_step=step, total_steps=200
            )
            progress.step(report)  # type: ignore[arg-type]
    found = read_progress(path)
    assert found is not None
    assert (found.done, found.global_step, found.total_steps) == (100, 100, 200)
    assert found.rate == pytest.approx(1.42, abs=0.01)  # of the last minute
    assert [p.name for p in tmp_path.iterdir()] == ["progress.json"]
    path.write_text(json.dumps({"session": 1}))
    assert read_progress(path) is None
