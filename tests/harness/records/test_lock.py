"""One process on a run, whatever lies in its folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import BusyError
from core.locks import this_process
from harness.records.folders import HOLDER, RUN_LOCK
from harness.records.lock import held


@pytest.mark.parametrize("content", ["[1]", "{}", '{"pid": "x"}', "[" * 100_000, '{"pid": 1e999}'])
def test_whatever_names_the_holder_the_second_process_is_told(tmp_path: Path, content: str) -> None:
    """Catches: a TypeError instead of exit code 75 where holder.json is damaged."""
    with held(tmp_path):
        (tmp_path / HOLDER).write_text(content)
        with pytest.raises(BusyError, match="another process") as caught, held(tmp_path):
            pass
        assert caught.value.exit_code == 75


def test_a_deleted_lock_lets_no_second_process_in(tmp_path: Path) -> None:
    """Catches: two processes on one run because somebody removed run.lock."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom harness.records.lock import held\n"
        "with held(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    (tmp_path / RUN_LOCK).unlink()
    with pytest.raises(BusyError, match=f"process {child.pid} .*was deleted"), held(tmp_path):
        pass
    child.communicate("")
    assert child.returncode == 0
    with held(tmp_path):
        pass


def test_what_a_dead_holder_left_does_not_stop_the_next(tmp_path: Path) -> None:
    """Catches: a run that cannot go on after a kill."""
    (tmp_path / HOLDER).write_text(json.dumps({**this_process(), "pid": 2**22 + 1, "since": 0}))
    (tmp_path / ".tmp-left").write_text("half")
    os.utime(tmp_path / ".tmp-left", (1, 1))
    with held(tmp_path):
        assert json.loads((tmp_path / HOLDER).read_text())["pid"] == os.getpid()
    assert sorted(path.name for path in tmp_path.iterdir()) == [RUN_LOCK]


def test_failed_work_leaves_no_empty_folder(tmp_path: Path) -> None:
    """Catches: a folder with nothing but a lock after a command that failed at once."""
    with pytest.raises(ValueError, match="x"), held(tmp_path / "new", create=True):
        raise ValueError("x")
    assert not (tmp_path / "new").exists()
    with held(tmp_path / "new", create=True):
        (tmp_path / "new/made").touch()
    assert (tmp_path / "new/made").exists()
