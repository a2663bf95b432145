"""A command whose streams or memory are not there."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import main as entry


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
@pytest.mark.parametrize(("words", "code"), [("list", 0), ("show nothing-of-this-name", 2)])
def test_a_closed_stream_changes_no_exit_code(
    tmp_path: Path, words: str, code: int, closed: str
) -> None:
    """Catches: an AttributeError of None where a service closed standard output."""
    command = f"exec {sys.executable} -m harness {words} --results {tmp_path} {closed}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)


def test_memory_that_is_not_there_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: a traceback of numpy where an array does not fit."""

    def fail() -> None:
        raise MemoryError("Unable to allocate 175. TiB")

    monkeypatch.setattr(entry, "app", fail)
    monkeypatch.setattr(sys, "argv", ["harness", "list"])
    with pytest.raises(SystemExit) as stop:
        entry.main()
    assert stop.value.code == 1
    assert "not enough memory (Unable to allocate 175. TiB)" in capsys.readouterr().err
