"""Ctrl-C, SIGTERM and a closed terminal stop a run at an optimiser step, after a checkpoint."""

import contextlib
import errno
import os
import signal
import threading
from types import FrameType
from typing import Self

from core.errors import HarnessError


class Interrupted(HarnessError):
    """A signal asked the run to stop; it can be resumed."""

    def __init__(self, signal_number: int) -> None:
        name = signal.Signals(signal_number).name
        super().__init__(
            f"stopped by {name} after writing a checkpoint; run the same command again to go on"
        )
        self.exit_code = 128 + signal_number


class InterruptFlag:
    """While entered, notes SIGINT, SIGTERM and SIGHUP instead of dying; a second one kills at once.

    Whoever holds it may ask for the same stop by an error of their own, entered or not.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._asked: HarnessError | None = None
        self._previous: dict[int, object] = {}

    @property
    def is_set(self) -> bool:
        """A signal has come, or somebody asked."""
        return self._received is not None or self._asked is not None

    def ask(self, error: HarnessError) -> None:
        """Stop where a signal would, with this error; a signal that came goes first."""
        self._asked = error

    def raise_if_set(self) -> None:
        """Raises Interrupted where a signal has come, else what somebody asked with."""
        if self._received is not None:
            raise Interrupted(self._received)
        if self._asked is not None:
            raise self._asked

    def __enter__(self) -> Self:
        # Only the main thread may set handlers; elsewhere (a test's thread) signals are not ours.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is signal.SIG_IGN and number == signal.SIGHUP:
                    continue  # by nohup
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self._received = number
        if number == signal.SIGHUP:
            let_go_of_terminal()


def let_go_of_terminal() -> None:
    """Send what this process prints nowhere, where its terminal is gone.

    Else the next word to it is an error, which would end a run as failed.
    """
    for descriptor in (1, 2):
        try:
            os.write(descriptor, b"")
            os.ttyname(descriptor)
        except OSError as error:
            if error.errno != errno.EIO:  # a file, a pipe or a terminal that is still there
                continue
            with contextlib.suppress(OSError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, descriptor)
                os.close(nowhere)
