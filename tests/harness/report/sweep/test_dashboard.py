"""Optuna's dashboard over real HTTP on the loopback address."""

import http.client
import importlib.util
import json
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from core.errors import DataError, UsageError
from harness.sweep.dashboard import HOST, dashboard, storage_address
from harness.sweep.trials.opening import open_storage


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal with one study of two trials."""
    folder = tmp_path_factory.mktemp("dashboard") / "first-search"
    folder.mkdir()
    opened = open_storage(None, folder=folder, heartbeat_s=60, patience_s=5, say=print)
    with opened:
        study = optuna.create_study(storage=opened.storage, study_name="sonic-study")
        study.optimize(lambda trial: trial.suggest_float("lr", 0, 1), n_trials=2)
    return folder / "journal.log"


@pytest.fixture(scope="module")
def port(journal: Path) -> Iterator[int]:
    with dashboard(f"journal:{journal}", port=0, say=print) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def ask(port: int, path: str, *, method: str = "GET", host: str | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(HOST, port, timeout=20)
    connection.request(method, path, headers={"Host": host or f"{HOST}:{port}"})
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def test_the_page_and_the_study_are_served(port: int) -> None:
    """Catches: a server that starts and answers nothing; the wrong study."""
    status, page = ask(port, "/dashboard")
    assert status == 200
    assert b"Optuna Dashboard" in page
    status, answer = ask(port, "/api/studies")
    assert status == 200
    (study,) = json.loads(answer)["study_summaries"]
    assert study["study_name"] == "sonic-study"
    _, detail = ask(port, f"/api/studies/{study['study_id']}?after=0")
    assert [trial["state"] for trial in json.loads(detail)["trials"]] == ["Complete", "Complete"]


def test_the_page_needs_nothing_from_elsewhere(port: int) -> None:
    """Catches: a new version of the dashboard whose page loads from a content network."""
    _, page = ask(port, "/dashboard")
    loaded = re.findall(rb"""(?:src|href)=["']([^"']+)["']""", page)
    assert loaded == [b"/static/bundle.js"]
    status, bundle = ask(port, "/static/bundle.js")
    assert status == 200
    assert len(bundle) > 1_000_000


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_what_changes_a_study_is_refused(port: int, journal: Path, method: str) -> None:
    """Catches: a web page elsewhere in the browser that deletes a study by a request to us."""
    before = journal.read_bytes()
    status, _ = ask(port, "/api/studies/0", method=method)
    assert status == 405
    assert journal.read_bytes() == before


def test_other_names_of_this_machine_are_refused(port: int) -> None:
    """Catches: DNS rebinding, by which a page elsewhere reads what the loopback address serves."""
    assert ask(port, "/api/studies", host="evil.invalid")[0] == 403
    assert ask(port, "/api/studies", host=f"localhost:{port}")[0] == 200


def test_it_listens_on_the_loopback_address_alone(journal: Path) -> None:
    """Catches: a study open to the network."""
    with dashboard(f"journal:{journal}", port=0, say=print) as server:
        assert server.server_address[0] == "127.0.0.1"


def test_looking_makes_no_study(made: Any, tmp_path: Path) -> None:
    """Catches: a mistyped name that leaves an empty journal or database behind."""
    folder = tmp_path / "sweep"
    folder.mkdir()
    made.sweep().save(folder)
    for url in (None, f"journal:{folder / 'gone.log'}"):
        with pytest.raises(DataError, match="no study at"):
            storage_address(folder, url=url)
    assert [path.name for path in folder.iterdir()] == ["sweep.json"]


def test_a_journal_elsewhere_is_asked_for(made: Any, tmp_path: Path) -> None:
    """Catches: a study said to be lost that lies where its command put it."""
    made.sweep(storage_url="journal:/elsewhere/my.log").save(tmp_path)
    with pytest.raises(UsageError, match=r"pass --storage .*journal:/elsewhere/my\.log"):
        storage_address(tmp_path, url=None)


def test_a_database_needs_its_address(made: Any, tmp_path: Path) -> None:
    """Catches: a guess at where the study is, or a search for a password in the record."""
    made.sweep(storage="postgresql").save(tmp_path)
    with pytest.raises(UsageError, match="is not recorded: pass it with --storage"):
        storage_address(tmp_path, url=None)
    url = "postgresql://someone@db/sweeps"
    assert storage_address(tmp_path, url=url) == url
    with pytest.raises(UsageError, match="name a sweep"):
        storage_address(None, url=None)


def test_a_missing_extra_is_named(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a traceback where a command to install is due."""
    assert importlib.util.find_spec("optuna_dashboard") is not None
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    with (
        pytest.raises(UsageError, match=r"pip install 'branch-harness\[dashboard\]'"),
        dashboard(f"journal:{journal}", port=0, say=print),
    ):
        pass
