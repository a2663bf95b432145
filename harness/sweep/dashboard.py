"""Optuna's dashboard on a sweep's study: on this machine alone, and read-only."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from core.errors import DataError, UsageError
from harness.records.folders import SweepFolder
from harness.sweep.record import load_sweep

HOST = "127.0.0.1"
_SAFE = ("GET", "HEAD")
_HEARTBEAT_S = 60.0  # of trials of our own, of which there are none
_PATIENCE_S = 5.0

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the page asks every few seconds."""


def storage_address(folder: Path | None, *, url: str | None) -> str:
    """What holds the study of a sweep; `url` goes first.

    Raises:
        UsageError: neither is given, or the sweep's record cannot name its database.
        DataError: there is no sweep in the folder, or its journal is gone.
    """
    if url is not None:
        _require_file(url)
        return url
    if folder is None:
        raise UsageError(
            "name a sweep (`harness list --sweeps` shows them), or a storage with --storage"
        )
    record = load_sweep(folder)
    if record.storage != "journal":
        raise UsageError(
            f"{record.name} keeps its study in {record.storage}, whose address (with its password) "
            "is not recorded: pass it with --storage"
        )
    path = SweepFolder(folder).journal
    if record.storage_url is not None:
        raise UsageError(
            f"{record.name} keeps its study elsewhere: pass --storage {record.storage_url}"
        )
    _require_file(f"journal:{path}")
    return f"journal:{path}"


def _require_file(url: str) -> None:
    """Looking at a study must not make one."""
    name = url.removeprefix("journal:")
    if (name != url or url.endswith(".log")) and not Path(name).is_file():
        raise DataError(f"no study at {name}")


@contextmanager
def dashboard(address: str, *, port: int, say: Callable[[str], None]) -> Iterator[WSGIServer]:
    """A server on the loopback address, not yet serving; port 0 chooses a free one.

    Raises:
        UsageError: the extra is not installed, the address is of no known kind, or the port is
            taken.
        StorageAwayError: no database answers there.
        DataError: the file is not a study's.
    """
    try:
        from optuna_dashboard import wsgi
    except ImportError:
        raise UsageError(
            "the dashboard is not installed: pip install 'branch-harness[dashboard]'"
        ) from None
    with _opened(address, say=say) as storage:
        app = looking_only(wsgi(storage))
        try:
            server = make_server(HOST, port, app, server_class=_Server, handler_class=_Quiet)
        except OSError as error:
            raise UsageError(f"cannot listen on {HOST}:{port} ({error.strerror})") from None
        with server:
            yield server


@contextmanager
def _opened(address: str, *, say: Callable[[str], None]) -> Iterator[Any]:
    from harness.sweep.trials.opening import open_storage

    opened = open_storage(
        address,
        folder=Path(),
        heartbeat_s=_HEARTBEAT_S,
        patience_s=_PATIENCE_S,
        say=say,
    )
    with opened:
        yield opened.storage


def looking_only(app: App) -> App:
    """The app without what changes a study, and deaf to other hosts' names.

    The dashboard can rename, annotate and delete studies. Any page that a browser on this machine
    shows could ask it to, so everything but reading is refused; and a name other than the loopback
    address's (DNS rebinding) is refused too.
    """

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        host = str(environ.get("HTTP_HOST", "")).rsplit(":", 1)[0]
        if host not in (HOST, "localhost"):
            return _refuse(start_response, "403 Forbidden", "this page opens on this machine only")
        if environ.get("REQUEST_METHOD") not in _SAFE:
            return _refuse(start_response, "405 Method Not Allowed", "this dashboard is read-only")
        return app(environ, start_response)

    return guarded


def _refuse(start_response: Callable[..., Any], status: str, reason: str) -> Iterable[bytes]:
    body = f'{{"reason": "{reason}"}}'.encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response(status, headers)
    return [body]
