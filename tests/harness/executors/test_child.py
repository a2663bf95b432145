"""A run's process: forked or started, it is the same command with the same end."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import MismatchError
from harness.executors.base import Task
from harness.executors.child import Child, ChildProcess, ForkedChild
from harness.executors.local import LocalExecutor
from harness.run.plan import RunRequest, plan_run
from harness.wording.display import Display

MakeRequest = Callable[..., RunRequest]
LONG = ("stage1.steps=500", "training.checkpoint_every=499")


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, **changes}


def ended(child: Child) -> int | None:
    until = time.monotonic() + 300
    while (code := child.poll()) is None:
        assert time.monotonic() < until
        time.sleep(0.02)
    return code


@pytest.mark.parametrize("kind", [ForkedChild, ChildProcess])
def test_a_child_is_the_command_in_this_folder_and_environment(
    kind: type[Child], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: words, folder, environment, exit code or last words that are another process's."""
    monkeypatch.chdir(tmp_path)
    log = tmp_path / "run.log"
    log.write_text("said before\n")
    (tmp_path / "bad.toml").write_text("not toml")
    words = ["run", "--variant", "baseline", "--config", "~/bad.toml"]
    child = kind(words, log=log, environment=environment(HOME=str(tmp_path)))  # type: ignore[call-arg]
    assert child.pid != os.getpid()
    assert ended(child) == 2
    assert "bad.toml" in child.last_words()
    assert log.read_text().startswith("said before\n")
    assert str(tmp_path) in child.last_words()


IGNORED = """
import signal
from multiprocessing import forkserver
from pathlib import Path
from harness.executors import child
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored from the start
child._PRELOADED = ()
child.fork_context()
child._start_server()
status = Path(f"/proc/{forkserver._forkserver._forkserver_pid}/status").read_text()
(mask,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigIgn")]
print(int(mask, 16) >> (signal.SIGHUP - 1) & 1, signal.getsignal(signal.SIGHUP).name)
"""


def test_a_closed_terminal_leaves_the_server_that_runs_are_forked_from() -> None:
    """Catches: a comparison that fails, and loses how its runs ended, when a connection drops."""
    done = subprocess.run([sys.executable, "-c", IGNORED], capture_output=True, text=True)
    assert done.stdout.split() == ["1", "SIG_DFL"], done.stderr


SCRIPT = """
import os, sys, time
from pathlib import Path
from harness.executors.child import ForkedChild
with open("starts", "a") as starts:
    starts.write(__name__ + "\\n")
child = ForkedChild(sys.argv[1:], log=Path("run.log"), environment=dict(os.environ))
print(child.pid, flush=True)
time.sleep(600)
"""


def test_a_script_without_a_main_guard_starts_its_children_once_and_takes_them_along(
    small_request: MakeRequest, tmp_path: Path
) -> None:
    """Catches: the user's script run again in each child; a child that outlives a killed parent."""
    request = replace(small_request(*LONG, seed=90), results=tmp_path / "results")
    folder = plan_run(request, display=Display()).folder
    (tmp_path / "script.py").write_text(SCRIPT)
    parent = subprocess.Popen(
        [sys.executable, "script.py", *request.words[1:]],
        cwd=tmp_path,
        env=environment(PYTHONPATH=os.pathsep.join(sys.path)),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    events = folder / "events.jsonl"
    until = time.monotonic() + 300
    while not (events.is_file() and events.read_bytes()):
        assert time.monotonic() < until
        assert parent.poll() is None
        time.sleep(0.05)
    assert os.getsid(child) == child
    parent.kill()
    parent.communicate()
    while Path(f"/proc/{child}").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    assert (tmp_path / "starts").read_text() == "__main__\n"
    assert list((folder / "checkpoints").glob("step-*"))
    assert not (folder / "record.json").exists()


def test_code_that_was_edited_meanwhile_is_not_noted_as_what_ran(
    small_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a record with the hash of new code over numbers that the loaded old code made."""
    planned = plan_run(small_request(seed=91), display=Display())
    monkeypatch.setattr("harness.executors.local.code_of", lambda variant: {"core": "edited"})
    monkeypatch.setattr("harness.executors.local.visible_gpus", lambda: [])
    with LocalExecutor() as executor, pytest.raises(MismatchError, match="was edited since"):
        executor.start(Task("baseline seed 91", planned))
    assert not planned.folder.exists()
