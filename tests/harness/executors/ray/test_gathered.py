"""The coordinator's side of a store: what is fetched, sent, claimed and left alone."""

import json
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import BusyError, StorageAwayError
from core.training.checkpoints import Checkpoint, CheckpointFolder
from harness.executors.base import STOPPED, UNGATHERED, Job, Task
from harness.executors.opening import ExecutorKind, ExecutorOptions, open_executor
from harness.executors.ray import gathered
from harness.executors.ray.gathered import GatheredJob
from harness.executors.store import claim as claims
from harness.executors.store.store import RunStore
from harness.records.folders import RECORD
from harness.records.record import Status, load_record
from harness.run.plan import PlannedRun, plan_run
from harness.wording.display import Display


class Elsewhere(Job):
    """A job that does `work` when it starts, and ends with `code` once it may."""

    def __init__(
        self, *, code: int = 0, work: Callable[[], object] = lambda: None, is_open: bool = False
    ) -> None:
        self.code, self.work = code, work
        self.may_end = threading.Event()
        if not is_open:
            self.may_end.set()
        self.num_starts = 0
        self.was_stopped = False

    def start(self) -> Job:
        self.num_starts += 1
        self.work()
        return self

    def poll(self) -> int | None:
        return self.code if self.may_end.is_set() else None

    def stop(self) -> None:
        if not self.may_end.is_set():
            self.was_stopped, self.code = True, STOPPED
            self.may_end.set()

    def last_words(self) -> str:
        return "last"


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_PATIENCE_S", 0.3)
    monkeypatch.setattr(gathered, "RENEW_S", 0.02)
    monkeypatch.setattr(gathered, "_POLL_S", 0.01)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file://{tmp_path}/bucket"


@pytest.fixture
def planned(finished: Any, tmp_path: Path) -> PlannedRun:
    """The run that `finished` is, in a results folder where nothing is of it."""
    planned = plan_run(finished.request, display=Display())
    planned.request = replace(planned.request, results=tmp_path / "here")
    return planned


def in_store(finished: Any, planned: PlannedRun, url: str, *, away: Path) -> Path:
    """Put the finished run there as a node with the results folder `away` would; its folder."""
    folder = away / "runs" / planned.folder.name
    shutil.copytree(finished.folder, folder, ignore=shutil.ignore_patterns("run.lock"))
    config = away / "orders" / "k" / "config.toml"
    command = replace(finished.request, results=away, config=config).command
    notice = f"cache {away}/cache/features/x was damaged"
    split = finished.record.split.model_copy(update={"lock": f"{away}/data/x/split.json"})
    changes = {"command": command, "results": str(away), "notices": [notice], "split": split}
    finished.record.model_copy(update=changes).save(folder)
    RunStore(url).push(folder)
    return Path(url.removeprefix("file://")) / "runs" / planned.folder.name


def end_of(job: GatheredJob) -> int:
    until = time.monotonic() + 30
    while (code := job.poll()) is None:
        assert time.monotonic() < until
        time.sleep(0.01)
    return code


def test_a_run_that_the_store_has_is_fetched_and_not_made_again(
    finished: Any, planned: PlannedRun, url: str, tmp_path: Path
) -> None:
    """Catches: hours spent twice, or a record that names folders of a node."""
    there = in_store(finished, planned, url, away=tmp_path / "node")
    elsewhere = Elsewhere()
    assert end_of(GatheredJob(Task("one", planned), url=url, start=elsewhere.start)) == 0
    assert elsewhere.num_starts == 0
    record = load_record(planned.folder)
    assert record == load_record(there)
    assert record.command == planned.request.command
    assert record.results == str(planned.request.results)
    assert record.split.lock == str(planned.prepared.lock)
    assert record.notices == [f"cache {tmp_path}/here/cache/features/x was damaged"]
    assert record.metrics == finished.record.metrics
    assert str(tmp_path / "node") not in (there / RECORD).read_text()


def test_a_failed_run_in_the_store_is_tried_again(
    finished: Any, planned: PlannedRun, url: str, tmp_path: Path
) -> None:
    """Catches: an old failure that passes for the result of the new try."""
    there = in_store(finished, planned, url, away=tmp_path / "node")
    load_record(there).model_copy(update={"status": Status.FAILED}).save(there)
    seen: list[bool] = []

    def look() -> None:
        seen.extend((folder / RECORD).exists() for folder in (there, planned.folder))

    job = GatheredJob(Task("one", planned), url=url, start=Elsewhere(work=look).start)
    assert end_of(job) == 0
    assert seen == [False, False]


def test_what_was_begun_here_goes_along(planned: PlannedRun, url: str, tmp_path: Path) -> None:
    """Catches: a run begun by processes of this machine that a node begins from zero."""
    checkpoints = CheckpointFolder(planned.folder / "checkpoints")
    checkpoints.save(Checkpoint(3, {"weight": torch.ones(2)}, {"stage": 1}))
    node = tmp_path / "node" / "runs" / planned.folder.name
    job = GatheredJob(
        Task("one", planned), url=url, start=Elsewhere(work=lambda: RunStore(url).pull(node)).start
    )
    assert end_of(job) == 0
    found = CheckpointFolder(node / "checkpoints").latest()
    assert found is not None
    assert found.global_step == 3


def test_logs_come_while_the_run_goes_on(planned: PlannedRun, url: str, tmp_path: Path) -> None:
    """Catches: progress, and losses for a pruner, that are seen only when a run has ended."""
    node = tmp_path / "node" / "runs" / planned.folder.name
    elsewhere = Elsewhere(is_open=True)
    job = GatheredJob(Task("one", planned), url=url, start=elsewhere.start)
    until = time.monotonic() + 30
    while not elsewhere.num_starts:
        assert time.monotonic() < until
        time.sleep(0.01)
    node.mkdir(parents=True)
    (node / "events.jsonl").write_text("{}\n")
    RunStore(url).push(node)
    while not (planned.folder / "events.jsonl").exists():
        assert time.monotonic() < until
        assert job.poll() is None
    job.stop()
    assert end_of(job) == STOPPED
    assert elsewhere.was_stopped
    assert not list((tmp_path / "bucket" / "claims").rglob("*.json"))


def test_a_store_that_fails_in_the_end_is_no_silent_loss(
    planned: PlannedRun, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a run that ended well and whose results are nowhere."""

    def fail() -> None:
        def pull(store: RunStore, folder: Path) -> bool:
            raise StorageAwayError("no bucket")

        monkeypatch.setattr(RunStore, "pull", pull)

    job = GatheredJob(Task("one", planned), url=url, start=Elsewhere(work=fail).start)
    assert end_of(job) == UNGATHERED
    assert job.last_words() == "harness: no bucket"


def test_a_slow_store_holds_up_nobody_else(
    planned: PlannedRun, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: all runs of a sweep unwatched while one run's checkpoint is fetched."""
    gate = threading.Event()
    pull = RunStore.pull

    def slow(store: RunStore, folder: Path) -> bool:
        gate.wait(30)
        return pull(store, folder)

    monkeypatch.setattr(RunStore, "pull", slow)
    elsewhere = Elsewhere()
    before = time.monotonic()
    job = GatheredJob(Task("one", planned), url=url, start=elsewhere.start)
    assert job.poll() is None
    job.stop()
    assert time.monotonic() - before < 10
    gate.set()
    assert end_of(job) == STOPPED
    assert elsewhere.num_starts == 0


def test_a_run_of_another_living_coordinator_is_waited_for(planned: PlannedRun, url: str) -> None:
    """Catches: one run made by two coordinators at once, and its openings counted by halves."""
    other = RunStore(url).claim(planned.folder)
    assert other.take(wait=lambda seconds: False)
    over = threading.Event()

    def live() -> None:
        while not over.wait(0.02):
            other.renew()

    thread = threading.Thread(target=live, daemon=True)
    thread.start()
    elsewhere = Elsewhere()
    job = GatheredJob(Task("one", planned), url=url, start=elsewhere.start)
    assert end_of(job) == BusyError.exit_code
    assert "is being worked on in the store by process" in job.last_words()
    over.set()
    thread.join()
    assert elsewhere.num_starts == 0
    # Killed, it left its claim, which does not change any more.
    job = GatheredJob(Task("one", planned), url=url, start=elsewhere.start)
    assert end_of(job) == 0
    assert elsewhere.num_starts == 1


def test_one_that_is_told_to_stop_while_it_waits_takes_nothing(
    planned: PlannedRun, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: Ctrl-C in one process that ends another's run."""
    monkeypatch.setattr(claims, "_PATIENCE_S", 30.0)
    other = RunStore(url).claim(planned.folder)
    other.take(wait=lambda seconds: False)
    place = Path(url.removeprefix("file://")) / "claims" / "runs" / f"{planned.folder.name}.json"
    before = place.read_bytes()
    job = GatheredJob(Task("one", planned), url=url, start=Elsewhere().start)
    job.stop()
    assert end_of(job) == STOPPED
    assert place.read_bytes() == before


def test_a_run_that_was_taken_over_is_stopped(planned: PlannedRun, url: str) -> None:
    """Catches: a coordinator that slept, and then works on a run beside its successor."""
    elsewhere = Elsewhere(is_open=True)
    job = GatheredJob(Task("one", planned), url=url, start=elsewhere.start)
    place = Path(url.removeprefix("file://")) / "claims" / "runs" / f"{planned.folder.name}.json"
    until = time.monotonic() + 30
    while job.poll() is None:
        assert time.monotonic() < until
        if elsewhere.num_starts:  # again and again, as it may be renewed meanwhile
            place.write_text(json.dumps({"key": "successor"}))
        time.sleep(0.005)
    assert job.poll() == BusyError.exit_code
    assert elsewhere.was_stopped
    assert json.loads(place.read_text())["key"] == "successor"


def test_a_store_that_cannot_be_used_is_reported_before_anything_starts(tmp_path: Path) -> None:
    """Catches: a mistyped bucket that is met when the first run has ended."""
    (tmp_path / "file").touch()
    options = ExecutorOptions(ExecutorKind.RAY, store=f"file://{tmp_path}/file/runs")
    with pytest.raises(StorageAwayError, match="cannot be used") as caught:
        open_executor(options, num_threads=1, display=Display())
    assert caught.value.exit_code == 69
