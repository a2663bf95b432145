"""Tells a person, by a command or a web hook, that something ended, failed or stands still."""

import json
import os
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from core.errors import GuardError, HarnessError
from harness.records.sessions import End, end_of
from harness.watch.presence import STUCK_AFTER_S
from harness.watch.results import Watcher
from harness.watch.state import RunStatus, State
from harness.wording.plain_text import plain

_TIMEOUT_S = 20.0
_LOOK_EVERY_S = 20.0


def send(target: str, message: Mapping[str, str]) -> str | None:
    """Hand a message over; why that failed, in a sentence that names no secret, or None.

    target: of http:// or https://, a POST of the message as JSON; else a command for the shell,
        with the message as JSON on its standard input and its `text` in HARNESS_MESSAGE.
    """
    content = json.dumps(message).encode()
    is_url = target.startswith(("http://", "https://"))
    who = (urllib.parse.urlsplit(target).hostname or "the URL") if is_url else "the command"
    try:
        if is_url:
            _post(target, content)
            return None
        done = subprocess.run(
            target,
            shell=True,
            input=content,
            timeout=_TIMEOUT_S,
            check=False,
            env={**os.environ, "HARNESS_MESSAGE": message["text"]},
            stdout=subprocess.DEVNULL,
        )
    except urllib.error.HTTPError as error:
        return f"--notify: {who} answered with HTTP {error.code}"
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        # Its words may hold the URL, and that a secret.
        return f"--notify: {who} could not be told ({type(error).__name__})"
    failed = f"--notify: {who} ended with exit code {done.returncode}"
    return failed if done.returncode else None


def _post(url: str, content: bytes) -> None:
    request = urllib.request.Request(
        url, data=content, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
        answer.read(1 << 16)


class Notifier(AbstractContextManager["Notifier"]):
    """While entered, tells of runs that fail or stand still, and at the end how it ended.

    A message that cannot be handed over is a line on standard error and nothing else.
    """

    def __init__(
        self,
        target: str | None,
        *,
        what: str,
        results: Path,
        say: Callable[[str], None],
        stuck_after_s: float = STUCK_AFTER_S,
        look_every_s: float = _LOOK_EVERY_S,
    ) -> None:
        """target: see `send`; None: nobody is told. what: is going on, in a word or two."""
        self._target = target
        self._what = what
        self._results = results
        self._say = say
        self._stuck_after_s = stuck_after_s
        self._look_every_s = look_every_s
        self._began_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._watcher = Watcher(results)
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._told: set[tuple[str, str]] = set()

    def __enter__(self) -> Self:
        if self._target is not None:
            self._thread = threading.Thread(target=self._watch, name="notify", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread is None:
            return
        self._over.set()
        self._thread.join()
        self._look()  # a run may have failed since
        if error is None:
            self._tell(End.FINISHED.value, f"{self._what} finished")
            return
        event = "guard" if isinstance(error, GuardError) else end_of(error).value
        why = f": {error}" if isinstance(error, HarnessError) else ""
        self._tell(event, f"{self._what}: {event}{why}")

    def _watch(self) -> None:
        while not self._over.wait(self._look_every_s):
            self._look()

    def _look(self) -> None:
        """Tell of runs of this time that failed, or stand still, each once."""
        try:
            runs = self._watcher.snapshot().runs
        except OSError:
            return  # a folder that is away for a moment
        for run in runs:
            if run.state is State.FAILED and (run.finished_at or "") >= self._began_at:
                self._once(run, "failed", f"{run.run_id} failed: {run.note}")
            elif run.state is State.RUNNING and (run.stuck_s or 0.0) > self._stuck_after_s:
                self._once(run, "stalled", f"{run.run_id} stands still: {run.note or run.phase}")

    def _once(self, run: RunStatus, event: str, text: str) -> None:
        if (run.run_id, event) not in self._told:
            self._told.add((run.run_id, event))
            self._tell(event, text)

    def _tell(self, event: str, text: str) -> None:
        assert self._target is not None
        text = plain(f"harness: {text}")
        # `text` is what Slack shows, `content` what Discord does.
        message = {"event": event, "what": self._what, "text": text, "content": text}
        failure = send(self._target, {**message, "results": str(self._results)})
        if failure is not None:
            self._say(failure)
