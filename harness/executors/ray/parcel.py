"""What a node without the results folder needs to make a run, and the run in its own folder."""

import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from core.errors import MismatchError, StorageAwayError
from core.files import expanded
from core.foundation.sources import EMBEDDED_PREFIX
from harness.executors.store.store import RunStore
from harness.records.folders import HOLDER, ResultsFolder, RunFolder
from harness.records.lock import held
from harness.run.plan import PlannedRun, RunRequest
from harness.settings.branch_config import load_run_config, run_config_text

_POLL_S = 0.5
_PUSH_S = 3.0


@dataclass(frozen=True)
class Parcel:
    """A run for a node that shares no folder with the coordinator."""

    store: str = field(repr=False)
    """URL; may hold a password."""
    request: RunRequest
    """As the coordinator has it, `data` absolute."""
    place: str
    """The run's folder below a results folder."""
    config: str | None
    """Content of the request's config."""
    profile: str | None
    """Content of the request's profile, where that is a file."""
    paths: tuple[str, ...]
    """Data and models that the node must have."""


def parcel_of(planned: PlannedRun, *, store: str) -> Parcel:
    """Pack a planned run.

    Raises:
        UsageError: its config is gone or no longer a config.
    """
    request = planned.request
    profile = Path(request.profile) if request.profile.endswith(".toml") else None
    config = None
    if request.config is not None:
        config = request.config.read_text(encoding="utf-8")
    if request.config is not None and profile is not None:
        # On the node the profile is called otherwise; that they agree was seen to here.
        agreed = load_run_config(request.config).model_copy(update={"profile": None})
        config = run_config_text(agreed)
    if request.data is not None and not request.data.startswith(EMBEDDED_PREFIX):
        request = replace(request, data=str(expanded(request.data).absolute()))
    return Parcel(
        store=store,
        request=request,
        place=planned.folder.relative_to(planned.request.results).as_posix(),
        config=config,
        profile=None if profile is None else profile.read_text(encoding="utf-8"),
        paths=_paths(planned),
    )


def _paths(planned: PlannedRun) -> tuple[str, ...]:
    foundation = planned.profile.foundation
    names = [
        planned.request.data if planned.request.data is not None else planned.profile.data.source,
        foundation.stable_diffusion,
        foundation.clap,
        *foundation.exported.values(),
        *planned.profile.scorers.model_dump().values(),
        *planned.config.sources().values(),
    ]
    paths = [
        expanded(name)
        for name in map(str, filter(None, names))
        if not name.startswith(EMBEDDED_PREFIX)
    ]
    # What is not a path here is the id of a model, which the run itself looks for.
    return tuple(dict.fromkeys(str(path.absolute()) for path in paths if path.exists()))


class NodeRun:
    """A run in a folder of the node's own, sent to the store while it goes on."""

    def __init__(self, parcel: Parcel, *, results: Path, key: str, node: str) -> None:
        """results: of this node alone; caches stay there. key: of this start of the run."""
        self.folder = results / parcel.place
        self._parcel = parcel
        self._results = results
        self._inputs = ResultsFolder(results).orders / key
        self._node = node
        self._store = RunStore(parcel.store)
        self._since = time.time()

    @property
    def log(self) -> Path:
        """Takes what the run's process says."""
        return RunFolder(self.folder).log

    def fetch(self) -> list[str]:
        """Fetch what the store has of the run; the words that make it, after `harness`.

        Raises:
            MismatchError: this node lacks data or a model.
            BusyError: a process that an earlier start left behind still holds the run.
            StorageAwayError: the store cannot be used.
        """
        for path in self._parcel.paths:
            if not Path(path).exists():
                raise MismatchError(
                    f"node {self._node} has no {path}; with --store every node needs the data and "
                    "the models under the same paths"
                )
        request = replace(self._parcel.request, results=self._results)
        self._inputs.mkdir(parents=True, exist_ok=True)
        if self._parcel.profile is not None:
            profile = self._inputs / Path(request.profile).name
            profile.write_text(self._parcel.profile, encoding="utf-8")
            request = replace(request, profile=str(profile))
        if self._parcel.config is not None:
            config = self._inputs / "config.toml"
            config.write_text(self._parcel.config, encoding="utf-8")
            request = replace(request, config=config)
        with held(self.folder, create=True):
            self._store.pull(self.folder)
        return request.words[1:]

    def working_folder(self, wanted: str) -> Path:
        """The coordinator's, where the node has it; relative names of models start there."""
        return Path(wanted) if Path(wanted).is_dir() else self._inputs

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Send a checkpoint or an opening of the test split at once, logs every few seconds."""
        over = threading.Event()
        sender = threading.Thread(target=self._send_until, args=(over,), daemon=True)
        sender.start()
        try:
            yield
        finally:
            over.set()
            sender.join()

    def hand_over(self) -> None:
        """Send everything, then remove the run's folder here.

        Raises:
            StorageAwayError: the store cannot be used; the folder stays for the next try.
        """
        self._store.push(self.folder)
        with held(self.folder):
            shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self._inputs, ignore_errors=True)

    def require_own(self, pid: int, *, is_over: bool) -> None:
        """Refuse a process that makes another run than was ordered.

        is_over: it ended well.

        Raises:
            MismatchError: this node has other data or models than the coordinator.
        """
        others = [
            path.parent.name
            for path in self.folder.parent.glob(f"*/{HOLDER}")
            if path.parent != self.folder and self._is_held_by(pid, path)
        ]
        if others or (is_over and not RunFolder(self.folder).record.is_file()):
            raise MismatchError(
                f"node {self._node} makes {others[0] if others else 'another run'} instead "
                f"of {self.folder.name}: its data or models differ from the coordinator's"
            )

    def _is_held_by(self, pid: int, holder: Path) -> bool:
        try:
            found = json.loads(holder.read_text())
            return bool(found["pid"] == pid and found["since"] >= self._since)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return False

    def _send_until(self, over: threading.Event) -> None:
        seen, due = self._urgent(), 0.0
        while not over.wait(_POLL_S):
            urgent = self._urgent()
            if urgent == seen and time.monotonic() < due:
                continue
            try:
                self._store.push(self.folder)
                seen = urgent
            except StorageAwayError:
                pass  # tried again in a moment; what counts is whether the last one succeeds
            due = time.monotonic() + _PUSH_S

    def _urgent(self) -> tuple[object, ...]:
        files = RunFolder(self.folder)
        checkpoints, openings = files.checkpoints, files.openings
        return (
            sorted(path.name for path in checkpoints.glob("step-*")),
            openings.stat().st_size if openings.is_file() else 0,
        )
