"""A run in a process of its own, which stops after a checkpoint when this process is gone.

Without a GPU a run's process is forked from a server that has loaded the libraries once
(multiprocessing's fork server); loading them takes longer than a short run. A process that has
touched CUDA cannot be forked, and importing may touch it, so that with GPUs each run is started
from nothing, as it is on a Ray node.
"""

import gc
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import ModuleType

_MODULE = "harness.cli.child"
_PRELOADED = ("harness.cli.main", "harness.run.run", "harness.run.work")


class Child(ABC):
    """A process that makes one run; standard error goes to its log."""

    def __init__(self, log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
        self._log = log
        self._said_before = log.stat().st_size
        self._is_told = False

    @property
    @abstractmethod
    def pid(self) -> int:
        """Of the process."""

    @abstractmethod
    def poll(self) -> int | None:
        """The exit code, negative where a signal ended it; None while it goes on."""

    @abstractmethod
    def wait(self) -> None:
        """Until it has ended."""

    def stop(self) -> None:
        """Send SIGTERM once."""
        if not self._is_told and self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)
        self._is_told = True

    def last_words(self) -> str:
        """The last line on standard error."""
        with self._log.open("rb") as log:
            log.seek(self._said_before)
            lines = log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""


class ChildProcess(Child):
    """Started from nothing: `python -m harness.cli.child`."""

    def __init__(
        self,
        words: Sequence[str],
        *,
        log: Path,
        environment: dict[str, str],
        working_folder: Path | None = None,
    ) -> None:
        """words: of the command line, after `harness`. log: takes what it says."""
        super().__init__(log)
        with log.open("ab") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", _MODULE, *words],
                # Never written to: the child stops when it closes, however this process ends.
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                # Ctrl-C reaches this process alone, which stops its children once: a second
                # signal would kill them before their checkpoint.
                start_new_session=True,
                env=environment,
                cwd=working_folder,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        code = self._process.poll()
        if code is not None and self._process.stdin is not None:
            self._process.stdin.close()
        return code

    def wait(self) -> None:
        self._process.wait()


class ForkedChild(Child):
    """Forked from a process that has loaded the libraries; see `can_fork`."""

    def __init__(self, words: Sequence[str], *, log: Path, environment: dict[str, str]) -> None:
        """words: of the command line, after `harness`. log: takes what it says."""
        super().__init__(log)
        self._process = fork_context().Process(
            target=_run_as_child,
            args=(list(words), str(log), environment, str(Path.cwd())),
            daemon=True,  # told to stop, and not waited for without end, when this process ends
        )
        with without_main_module():
            _start_server()
            self._process.start()

    @property
    def pid(self) -> int:
        pid = self._process.pid
        assert pid is not None  # it was started
        return pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> None:
        self._process.join()


def fork_context() -> ForkServerContext:
    """Starts processes in which the libraries of a run are loaded already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_PRELOADED))
    return context


def _start_server() -> None:
    """Start the fork server, unless it is there: a closed terminal must not end it.

    It belongs to the terminal as this process does, which outlives it to stop its runs, and learns
    from it how they ended. What is ignored when a process is started stays so in it.
    """
    if threading.current_thread() is not threading.main_thread():
        forkserver.ensure_running()  # only the main thread may change what a signal does
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGHUP, before)


def can_fork() -> bool:
    """Whether this system has a fork server."""
    return "forkserver" in multiprocessing.get_all_start_methods()


def _run_as_child(words: list[str], log: str, environment: dict[str, str], folder: str) -> None:
    """What `python -m harness.cli.child` does, in a forked process."""
    gc.freeze()  # what the server has loaded stays: collecting it takes a third of a second a run
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    parent = multiprocessing.parent_process()
    assert parent is not None
    # Standard input closes when the parent is gone, as a pipe from it would.
    os.dup2(parent.sentinel, 0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT), 2)
    sys.argv = ["harness", *words]
    runpy.run_module(_MODULE, run_name="__main__")


@contextmanager
def without_main_module() -> Iterator[None]:
    """A child would run the main module of this process again, which may be a user's script."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
