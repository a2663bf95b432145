"""`harness ctl`: what is asked from another terminal, and who may be asked."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from core.errors import CancelledError, PausedError, UsageError
from core.locks import this_process
from harness.cli.main import app
from harness.records.control import Asked, Verb, asked
from harness.records.sessions import End, SessionJournal, new_session


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run that this process holds."""
    folder = tmp_path / "runs" / "sonic-s0-abc"
    folder.mkdir(parents=True)
    (folder / "identity.json").write_text("{}")
    (folder / "holder.json").write_text(json.dumps(this_process()))
    return folder


def ctl(folder: Path, verb: str) -> Result:
    results = str(folder.parent.parent)
    return CliRunner().invoke(app, ["ctl", folder.name, verb, "--results", results])


def test_a_running_run_can_be_asked_and_the_request_taken_back(folder: Path) -> None:
    """Catches: a request that nobody sees, or that cannot be undone."""
    assert ctl(folder, "pause").exit_code == 0
    assert asked(folder) is Verb.PAUSE
    error = Asked(folder, name=folder.name).look()
    assert isinstance(error, PausedError)
    assert "goes on" in str(error)
    assert "taken back" in ctl(folder, "resume").output
    assert asked(folder) is None
    assert ctl(folder, "cancel").exit_code == 0
    assert isinstance(Asked(folder, name=folder.name).look(), CancelledError)


def test_what_does_not_go_on_cannot_be_paused(folder: Path) -> None:
    """Catches: a request left behind that stops the next start of the run."""
    (folder / "holder.json").unlink()
    done = ctl(folder, "pause")
    assert isinstance(done.exception, UsageError)
    assert "is interrupted, so there is nothing to pause" in str(done.exception)
    assert asked(folder) is None


def test_resume_becomes_the_command_of_the_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: another run than the paused one, or one below another results folder."""
    (folder / "holder.json").unlink()
    session = new_session(command="harness run --variant sonic --results elsewhere")
    journal = SessionJournal(folder / "sessions.jsonl")
    journal.begin(session)
    journal.end(session.model_copy(update={"how": End.PAUSED.value, "seconds": 1.0}))
    started: list[Any] = []
    monkeypatch.setattr(os, "execv", lambda program, words: started.append(words[1:]))
    assert ctl(folder, "resume").exit_code == 0
    results = str(folder.parent.parent)
    assert started == [["-m", "harness", "run", "--variant", "sonic", "--results", results]]


def test_a_damaged_request_asks_nothing(folder: Path) -> None:
    """Catches: a run that ends because of half a file."""
    (folder / "control.json").write_text('{"verb": "expl')
    assert Asked(folder, name="x").look() is None
