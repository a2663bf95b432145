"""`harness`, or a script, in a process of its own that has loaded the libraries already.

Loading them takes seconds of every process, and what a test asks of a command that is stopped,
killed or given twice is about none of them. The processes are forked from one server a test
worker, and the runs that they start are forked from the same. That a command starts from nothing
too is what tests/harness/cli/test_main.py asks.
"""

import os
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from harness.executors.child import fork_context, without_main_module


class HarnessProcess:
    """`harness WORDS`, with the methods of a `subprocess.Popen` whose output is text."""

    def __init__(
        self,
        words: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        script: Path | None = None,
    ) -> None:
        """script: run in place of `harness`; PYTHONPATH of `env` leads its imports."""
        output = Path(tempfile.mkdtemp())
        weakref.finalize(self, shutil.rmtree, output)
        self._out, self._err = output / "out", output / "err"
        context = fork_context()
        forkserver.ensure_running()
        self._process = context.Process(
            target=_be,
            args=(
                script and str(script),
                [str(word) for word in words],
                (str(self._out), str(self._err)),
                dict(os.environ if env is None else env),
                str(cwd or Path.cwd()),
                forkserver._forkserver._forkserver_address,  # type: ignore[attr-defined]
            ),
        )
        self._out.touch()
        self._err.touch()
        with without_main_module():
            self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None  # it was started
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int | None:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("harness", timeout or 0)
        return self._process.exitcode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Standard output and standard error, once it has ended."""
        self.wait(timeout)
        return self._out.read_text(), self._err.read_text()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def harness(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """`harness WORDS` to its end; options are those of `HarnessProcess`."""
    process = HarnessProcess(words, **options)
    try:
        out, err = process.communicate(timeout=600)
    finally:
        process.kill()
    assert process.returncode is not None
    return subprocess.CompletedProcess(list(words), process.returncode, out, err)


def _be(
    script: str | None,
    words: list[str],
    output: tuple[str, str],
    environment: dict[str, str],
    folder: str,
    address: str,
) -> None:
    """What `python -m harness WORDS` does, or `python SCRIPT WORDS`, in a forked process."""
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for handle, path in zip((1, 2), output, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), handle)
    # The server of the tests is this process's too: a second one would load everything again.
    forkserver._forkserver._forkserver_address = address  # type: ignore[attr-defined]
    forkserver._forkserver.ensure_running = lambda: None  # type: ignore[attr-defined]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = [script or "harness", *words]
    sys.path[:0] = environment.get("PYTHONPATH", "").split(os.pathsep)
    if script is None:
        runpy.run_module("harness", run_name="__main__")
    else:
        sys.path.insert(0, str(Path(script).parent))
        runpy.run_path(script, run_name="__main__")
