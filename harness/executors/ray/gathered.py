"""A job elsewhere whose results come back through a store."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.errors import BusyError, HarnessError, StorageAwayError
from harness.executors.base import STOPPED, UNGATHERED, Ended, Job, Task
from harness.executors.store.claim import RENEW_S, Claim
from harness.executors.store.store import RunStore
from harness.records.folders import RunFolder
from harness.records.lock import held
from harness.records.record import RunRecord, Status, load_record
from harness.records.sessions import SessionJournal
from harness.run.plan import PlannedRun

_POLL_S = 0.2


class GatheredJob(Job):
    """Watches a job from a thread of its own, so that a slow store holds up no other run.

    The run is held here and claimed in the store meanwhile; what is here of it goes there before
    it starts, its logs come while it goes on, and everything comes when it has ended.
    """

    def __init__(self, task: Task, *, url: str, start: Callable[[], Job]) -> None:
        """url: of the store. start: starts the job that works with the store from elsewhere."""
        self.task = task
        self._url = url
        self._start = start
        self._inner: Job | None = None
        self._told = threading.Event()
        self._ended: Future[Ended] = Future()
        threading.Thread(target=self._work, name=f"store of {task.name}", daemon=True).start()

    @property
    def place(self) -> str:
        return "" if self._inner is None or self._ended.done() else self._inner.place

    def poll(self) -> int | None:
        return self._ended.result().exit_code if self._ended.done() else None

    def stop(self) -> None:
        self._told.set()

    def last_words(self) -> str:
        return self._ended.result().last_words if self._ended.done() else ""

    def _work(self) -> None:
        try:
            ended = self._gather()
        except StorageAwayError as error:
            ended = Ended(UNGATHERED, f"harness: {error}")
        except HarnessError as error:
            ended = Ended(error.exit_code, f"harness: {error}")
        except BaseException as error:  # raised again where the job is polled
            self._ended.set_exception(error)
            return
        self._ended.set_result(ended)

    def _gather(self) -> Ended:
        planned = self.task.planned
        store = RunStore(self._url)
        with held(planned.folder, create=True):
            claim = store.claim(planned.folder)
            try:
                if not claim.take(wait=self._told.wait):
                    return Ended(STOPPED, "")
            except BusyError:
                store.pull_logs(planned.folder)  # whoever waits for a run waits while it gets on
                raise
            try:
                if _bring(planned, store) is Status.FINISHED:
                    return Ended(0, "")  # made by another coordinator
                # As a failed run is tried again where it lies here.
                store.drop_record(planned.folder)
                store.push(planned.folder)
                if self._told.is_set():
                    return Ended(STOPPED, "")
                ended = self._watch(store, claim)
                _bring(planned, store)
                return ended
            finally:
                _drop(claim)

    def _watch(self, store: RunStore, claim: Claim) -> Ended:
        """The job, from its start to its end.

        Raises:
            BusyError: another coordinator took the run over; the job was stopped.
        """
        job = self._inner = self._start()
        due = time.monotonic()
        taken: BusyError | None = None
        try:
            while (code := job.poll()) is None:
                if self._told.is_set():
                    job.stop()
                if taken is None and time.monotonic() >= due:
                    try:
                        claim.renew()
                        store.pull_logs(self.task.planned.folder)
                    except BusyError as error:
                        taken = error
                        self._told.set()
                    except StorageAwayError:
                        pass  # progress alone; what counts is fetched at the end
                    due = time.monotonic() + RENEW_S
                time.sleep(_POLL_S)
        finally:
            job.stop()
        if taken is not None:
            raise taken
        return Ended(code, job.last_words())


def _bring(planned: PlannedRun, store: RunStore) -> Status | None:
    """Fetch the run; its record, here and in the store, then says what one made here would."""
    store.pull(planned.folder)
    files = RunFolder(planned.folder)
    is_changed = SessionJournal(files.sessions).carry_out(planned.request.command)
    if not files.record.is_file():
        return None
    found = load_record(planned.folder)
    record = _as_made_here(found, planned)
    if record != found:
        record.save(planned.folder)
    if record != found or is_changed:
        store.push(planned.folder)
    return record.status


def _as_made_here(record: RunRecord, planned: PlannedRun) -> RunRecord:
    """The record without the paths of the node that made it."""
    content = record.model_dump(mode="json")
    here = str(planned.request.results)
    if record.results is not None and Path(record.results).is_absolute():
        content = _replaced(content, record.results, here)
    content["results"] = here
    content["command"] = planned.request.command
    content["identity"]["profile"] = planned.identity.profile
    content["split"]["lock"] = str(planned.prepared.lock)
    return RunRecord.model_validate(content)


def _replaced(value: Any, old: str, new: str) -> Any:
    if isinstance(value, str):
        return value.replace(old, new)
    if isinstance(value, list):
        return [_replaced(item, old, new) for item in value]
    if isinstance(value, dict):
        return {key: _replaced(item, old, new) for key, item in value.items()}
    return value


def _drop(claim: Claim) -> None:
    with suppress(StorageAwayError):  # it grows old by itself
        claim.drop()
