"""Telling a person: a real server, a real command."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from core.errors import GuardError
from core.locks import this_process
from harness.records.record import Status
from harness.watch.notify import Notifier, send

MESSAGE = {"event": "finished", "text": "harness: done"}


class Server(HTTPServer):
    """Keeps what it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.got: list[dict[str, str]] = []
        self.answer = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook/secret"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        assert self.headers["Content-Type"] == "application/json"
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(json.loads(content))
        self.send_response(self.server.answer)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_web_hook_is_posted_json(server: Server) -> None:
    """Catches: a hook that gets nothing, or a form."""
    assert send(server.url, MESSAGE) is None
    assert server.got == [MESSAGE]


def test_a_hook_that_fails_is_a_sentence_without_its_secret(server: Server) -> None:
    """Catches: a run that ends with a traceback because a chat is down; a secret in its log."""
    server.answer = 500
    assert send(server.url, MESSAGE) == "--notify: 127.0.0.1 answered with HTTP 500"
    gone = send("http://127.0.0.1:1/hook/secret", MESSAGE)
    assert gone == "--notify: 127.0.0.1 could not be told (URLError)"
    assert send("exit 3", MESSAGE) == "--notify: the command ended with exit code 3"


def test_a_command_gets_the_message(tmp_path: Path) -> None:
    """Catches: a command that is not told what happened."""
    assert send(f'echo "$HARNESS_MESSAGE" > {tmp_path}/a; cat > {tmp_path}/b', MESSAGE) is None
    assert (tmp_path / "a").read_text() == "harness: done\n"
    assert json.loads((tmp_path / "b").read_text()) == MESSAGE


def test_end_failure_and_standstill_are_told_once_each(server: Server, results: Any) -> None:
    """Catches: a stall or a failed run that nobody hears of, or that is told at every look."""
    said: list[str] = []
    with Notifier(server.url, what="a comparison", results=results.path, say=said.append) as told:
        results.run(seed=1, process=this_process(), progress={"advanced_at": 0.0})
        record = results.record(seed=2, status=Status.FAILED, error="the loss is nan")
        late = record.model_copy(update={"finished_at": "2999-01-01T00:00:00+00:00"})
        late.save(results.path / "runs" / record.run_id)
        results.record(seed=3, status=Status.FAILED, error="of long ago")
        told._look()
        told._look()
    assert [message["event"] for message in server.got].count("stalled") == 1
    assert [message["event"] for message in server.got].count("failed") == 1
    assert "the loss is nan" in str(server.got)
    assert "of long ago" not in str(server.got)
    assert server.got[-1]["text"] == "harness: a comparison finished"
    assert said == []


def test_a_failed_guard_is_told_and_stays_the_error(server: Server, results: Any) -> None:
    """Catches: a notification that swallows or replaces what ended the run."""
    server.answer = 500
    said: list[str] = []
    with (
        pytest.raises(GuardError, match="void"),
        Notifier(server.url, what="sonic seed 0", results=results.path, say=said.append),
    ):
        raise GuardError("it would be void")
    assert server.got[-1]["event"] == "guard"
    assert server.got[-1]["text"] == "harness: sonic seed 0: guard: it would be void"
    assert said == ["--notify: 127.0.0.1 answered with HTTP 500"]
