"""Run folders gathered in a store: what travels, in which order, and what its failures say."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from fsspec import register_implementation
from fsspec.implementations.local import LocalFileSystem

from core.errors import HarnessError, UsageError
from core.files import TEMPORARY_PREFIX
from core.training.checkpoints import HASHES, Checkpoint, CheckpointFolder
from harness.executors.store import remote
from harness.executors.store import url as store_url
from harness.executors.store.store import RunStore
from harness.records.folders import OPENINGS
from harness.records.journals import FailureJournal, OpeningJournal

RUN = "sonic-s0-0123456789ab"


class Watched(LocalFileSystem):
    """A local folder that notes what is written and fails when told to."""

    protocol = "watched"
    written: list[str] = []  # noqa: RUF012
    failures: list[Exception] = []  # noqa: RUF012
    meanwhile: list[Callable[[], None]] = []  # noqa: RUF012

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: object) -> None:
        self._note(path)
        path = self._strip_protocol(path)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(value)

    def put_file(self, path1: str, path2: str, callback: object = None, **_: object) -> None:
        self._note(path2)
        Path(self._strip_protocol(path2)).parent.mkdir(parents=True, exist_ok=True)
        super().put_file(path1, path2)
        if "step-00000004" in path2 and self.meanwhile:
            self.meanwhile.pop()()

    def _note(self, path: str) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.written.append(path.partition(f"{RUN}/")[2] or path)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(LocalFileSystem._strip_protocol(str(path).removeprefix("watched://")))


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    register_implementation("watched", Watched, clobber=True)
    Watched.written, Watched.failures, Watched.meanwhile = [], [], []
    monkeypatch.setattr(remote, "_PAUSES_S", (0.0, 0.0, 0.0))
    return f"watched://{tmp_path}/bucket"


def begun_run(results: Path, *, steps: int = 4) -> Path:
    folder = results / "runs" / RUN
    folder.mkdir(parents=True)
    (folder / "identity.json").write_text("{}")
    (folder / "run.lock").touch()
    (folder / "holder.json").write_text("{}")
    (folder / f"{TEMPORARY_PREFIX}half").write_text("half")
    save(folder, step=2)
    save(folder, step=steps)
    OpeningJournal(folder).note("then")
    return folder


def save(folder: Path, *, step: int, value: float | None = None) -> None:
    with (folder / "events.jsonl").open("a") as log:
        log.write(f'{{"global_step": {step}}}\n')
    CheckpointFolder(folder / "checkpoints").save(
        Checkpoint(step, {"weight": torch.full((3,), value or float(step))}, {"value": value})
    )


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_another_machine_goes_on_from_the_newest_checkpoint(tmp_path: Path) -> None:
    """Catches: a retry after a lost node that starts from zero, or with a log that lacks steps."""
    store, there = RunStore(f"file://{tmp_path}/bucket"), tmp_path / "b" / "runs" / RUN
    assert not store.pull(there)
    here = begun_run(tmp_path / "a")
    store.push(here)
    assert RunStore(f"file://{tmp_path}/bucket").pull(there)
    found = CheckpointFolder(there / "checkpoints").latest()
    assert found is not None
    assert found.global_step == 4
    assert torch.equal(found.tensors["weight"], torch.full((3,), 4.0))
    assert (there / "events.jsonl").read_bytes() == (here / "events.jsonl").read_bytes()
    of_this_machine = {"run.lock", "holder.json", f"{TEMPORARY_PREFIX}half"}
    assert names(there) == names(here) - of_this_machine
    assert names(tmp_path / "bucket" / "runs" / RUN) == names(there)


def test_the_record_and_each_list_of_hashes_are_written_last(tmp_path: Path, watched: str) -> None:
    """Catches: a run that is taken for finished, or a checkpoint for whole, before it is there."""
    here = begun_run(tmp_path / "a")
    (here / "record.json").write_text("{}")
    RunStore(watched).push(here)
    order = [
        name.split("-", 1)[-1] if TEMPORARY_PREFIX in name else name for name in Watched.written
    ]
    assert order[-1].endswith("record.json")
    last = [
        name.rpartition("-")[2] for name in Watched.written if "checkpoints/step-00000004" in name
    ]
    assert last == ["state.json", "tensors.safetensors", HASHES]


def test_a_half_uploaded_checkpoint_is_not_fetched(tmp_path: Path) -> None:
    """Catches: a checkpoint whose upload a kill cut off, resumed from as if it were whole."""
    store, here = RunStore(f"file://{tmp_path}/bucket"), begun_run(tmp_path / "a")
    store.push(here)
    (tmp_path / "bucket" / "runs" / RUN / "checkpoints" / "step-00000004" / HASHES).unlink()
    there = tmp_path / "b" / "runs" / RUN
    RunStore(store.url).pull(there)
    assert [path.name for path in (there / "checkpoints").iterdir()] == ["step-00000002"]


def test_a_checkpoint_that_is_saved_again_while_it_is_sent_arrives_whole(
    tmp_path: Path, watched: str
) -> None:
    """Catches: one of two halves, from which no machine can go on: a stage's last step is saved
    by its number and again with the stage's result."""
    store, here = RunStore(watched), begun_run(tmp_path / "a")
    Watched.meanwhile = [lambda: save(here, step=4, value=44.0)]
    store.push(here)
    assert not Watched.meanwhile
    there = tmp_path / "b" / "runs" / RUN
    RunStore(watched).pull(there)
    checkpoints = CheckpointFolder(there / "checkpoints")
    found = checkpoints.latest()
    assert checkpoints.notices == []
    assert found is not None
    assert torch.equal(found.tensors["weight"], torch.full((3,), 44.0))


def test_what_did_not_change_is_not_sent_again(tmp_path: Path, watched: str) -> None:
    """Catches: checkpoints and pictures uploaded anew every few seconds."""
    store, here = RunStore(watched), begun_run(tmp_path / "a")
    store.push(here)
    Watched.written.clear()
    store.push(here)
    assert Watched.written == []
    with (here / "events.jsonl").open("a") as log:
        log.write("{}\n")
    store.push(here)
    assert [name.endswith("events.jsonl") for name in Watched.written] == [True]


def test_pruned_checkpoints_leave_the_store_but_two_stay(tmp_path: Path) -> None:
    """Catches: a store that grows with each checkpoint, or that is emptied by a lost folder."""
    store, here = RunStore(f"file://{tmp_path}/bucket"), begun_run(tmp_path / "a")
    kept = tmp_path / "bucket" / "runs" / RUN / "checkpoints"
    store.push(here)
    save(here, step=6)
    store.push(here)
    assert sorted(path.name for path in kept.iterdir()) == ["step-00000004", "step-00000006"]
    for path in (here / "checkpoints").iterdir():
        path.rename(path.with_name(f"{path.name}.damaged"))
    store.push(here)
    assert sorted(path.name for path in kept.iterdir()) == ["step-00000004", "step-00000006"]


def test_a_folder_ahead_of_the_store_keeps_its_steps_and_both_openings(tmp_path: Path) -> None:
    """Catches: a newer checkpoint beside an older log, or an opening of the test split lost."""
    store, here = RunStore(f"file://{tmp_path}/bucket"), begun_run(tmp_path / "a")
    store.push(here)
    with (tmp_path / "bucket" / "runs" / RUN / OPENINGS).open("ab") as journal:
        journal.write(b'{"at": "elsewhere", "pid": 1}\n')
    OpeningJournal(here).note("later")
    save(here, step=6)
    log = (here / "events.jsonl").read_bytes()
    RunStore(store.url).pull(here)
    assert (here / "events.jsonl").read_bytes() == log
    assert OpeningJournal(here).count == 3


def test_failures_here_and_there_are_all_kept(tmp_path: Path) -> None:
    """Catches: a run tried again on another node that says it never failed."""
    store, here = RunStore(f"file://{tmp_path}/bucket"), begun_run(tmp_path / "a")
    FailureJournal(here).note("then", error="NaN")
    store.push(here)
    there = tmp_path / "b" / "runs" / RUN
    there.mkdir(parents=True)
    FailureJournal(there).note("before", error="NaN")
    RunStore(store.url).pull(there)
    assert FailureJournal(there).count == 2
    RunStore(store.url).pull(there)
    assert FailureJournal(there).count == 2


def test_a_moments_failure_is_tried_again_and_a_lasting_one_is_a_sentence(
    tmp_path: Path, watched: str
) -> None:
    """Catches: a run lost to one dropped connection, or a driver's traceback before the user."""
    store, here = RunStore(watched), begun_run(tmp_path / "a")
    Watched.failures = [ConnectionError("reset"), TimeoutError("slow")]
    store.push(here)
    assert (tmp_path / "bucket" / "runs" / RUN / "identity.json").is_file()
    (here / "identity.json").write_text("{ }")
    Watched.failures = [PermissionError("AccessDenied")]
    with pytest.raises(HarnessError, match=r"cannot be used \(PermissionError: AccessDenied\)"):
        store.push(here)
    Watched.failures = [ConnectionError("reset")] * 9
    with pytest.raises(HarnessError, match="credentials"):
        store.check()
    assert len(Watched.failures) == 5


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("memory://runs", "private to one process"),
        ("/shared/runs", "expected a URL"),
        ("s4://bucket/runs", "unknown protocol s4"),
        ("simplecache::s3://bucket/runs", "expected a URL"),
    ],
)
def test_a_url_that_no_other_machine_can_use_is_refused(url: str, says: str) -> None:
    """Catches: a cluster that works for hours on results that nobody will find."""
    with pytest.raises(UsageError, match=says):
        RunStore(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ftp://me:se@cret@host/runs", "ftp://***@host/runs"),
        ("s3://key:sec/ret@bucket/runs", "s3://***@bucket/runs"),
        ("sftp://token@host/runs", "sftp://***@host/runs"),
        ("az://bucket/runs?sig=secret", "az://bucket/runs?***"),
        ("s3://bucket/runs@home", "s3://bucket/runs@home"),
    ],
)
def test_a_password_in_the_url_is_not_printed(url: str, shown: str) -> None:
    """Catches: a key in a log, by way of a sentence or of what a driver says."""
    assert store_url.without_secrets(url) == shown
    said = store_url.reason(
        ValueError(f"no {url}; not with se@cret or sec/ret, sig=secret"), url=url
    )
    owner = url.partition("://")[2].rpartition("@")[0]
    for secret in (owner.partition(":")[2], url.partition("?")[2]):
        assert not secret or secret not in said


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: an ImportError, or a sentence that does not say what to install."""
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    with pytest.raises(HarnessError, match="pip install s3fs"):
        RunStore("s3://bucket/runs")
