"""A node's side of a store: what it is given, and what it hands over."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import MismatchError, StorageAwayError
from core.training.checkpoints import Checkpoint, CheckpointFolder
from harness.executors.ray import parcel
from harness.executors.ray.parcel import NodeRun, parcel_of
from harness.executors.store.store import RunStore
from harness.records.folders import OPENINGS, RECORD, RUN_LOG
from harness.records.journals import OpeningJournal
from harness.records.lock import held
from harness.records.score_kind import Score
from harness.run.plan import PlannedRun, RunRequest, plan_run
from harness.settings.branch_config import RunConfig, write_run_config
from harness.wording.display import Display

MakeRequest = Callable[..., RunRequest]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file://{tmp_path}/bucket"


@pytest.fixture(scope="module")
def planned(small_request: MakeRequest) -> PlannedRun:
    """A trial, so that it lies elsewhere than runs on the test clips."""
    return plan_run(small_request(seed=70, score=Score.LOSS), display=Display())


@pytest.fixture
def run(planned: PlannedRun, url: str, tmp_path: Path) -> NodeRun:
    return NodeRun(parcel_of(planned, store=url), results=tmp_path / "node", key="k", node="n7")


def test_a_node_makes_the_ordered_run_without_the_coordinators_files(
    small_request: MakeRequest, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a config, profile or relative path that is only on the coordinator."""
    monkeypatch.chdir(tmp_path)
    profile, config = Path("mine.toml"), Path("best.toml")
    profile.write_text((files("harness.settings") / "profiles" / "tiny.toml").read_text())
    settings = {"sonic": {"num_tokens": 4}}
    write_run_config(RunConfig(variant="sonic", profile=str(profile), variants=settings), config)
    asked = small_request(seed=71, variant="sonic", profile=str(profile), config=config)
    media = Path("media")
    media.symlink_to(str(asked.data))
    ordered = plan_run(replace(asked, data=str(media)), display=Display())
    packed = parcel_of(ordered, store=url)
    for path in (profile, config):
        path.unlink()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    words = NodeRun(packed, results=tmp_path / "node", key="k", node="n7").fetch()
    made = plan_run(request_of(words), display=Display())
    assert made.identity.run_id == ordered.identity.run_id
    assert made.folder == tmp_path / "node" / "runs" / ordered.folder.name
    assert made.config == ordered.config


def request_of(words: list[str]) -> RunRequest:
    """The request that a command line makes, by the options that these tests use."""
    pairs = list(zip(words[1::2], words[2::2], strict=True))
    named: dict[str, Any] = dict(pairs)
    return RunRequest(
        named["--variant"],
        profile=named["--profile"],
        seed=int(named["--seed"]),
        overrides=tuple(value for name, value in pairs if name == "--set"),
        data=named["--data"],
        results=Path(named["--results"]),
        config=Path(named["--config"]),
    )


def test_a_node_without_the_data_says_which_and_what_is_missing(
    planned: PlannedRun, url: str, tmp_path: Path
) -> None:
    """Catches: a run that dies on one node of many with a sentence that names no node."""
    assert str(planned.request.data) in parcel_of(planned, store=url).paths
    packed = replace(parcel_of(planned, store=url), paths=("/no/media",))
    with pytest.raises(MismatchError, match="node n7 has no /no/media; with --store every node"):
        NodeRun(packed, results=tmp_path / "node", key="k", node="n7").fetch()


def test_a_checkpoint_and_an_opening_are_sent_while_the_run_goes_on(
    run: NodeRun, planned: PlannedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a lost node that takes its checkpoints along, or a count of openings too low."""
    monkeypatch.setattr(parcel, "_PUSH_S", 600.0)
    run.fetch()
    run.log.write_text("begun")
    there = tmp_path / "bucket" / "validation" / planned.folder.name
    with run.sending():
        wait_for(there / RUN_LOG)
        CheckpointFolder(run.folder / "checkpoints").save(
            Checkpoint(3, {"weight": torch.ones(2)}, {"stage": 1})
        )
        wait_for(there / "checkpoints" / "step-00000003" / "sha256.json")
        OpeningJournal(run.folder).note("then")
        wait_for(there / OPENINGS)


def wait_for(path: Path) -> None:
    until = time.monotonic() + 30
    while not path.is_file():
        assert time.monotonic() < until, path
        time.sleep(0.02)


def test_what_could_not_be_handed_over_stays(
    run: NodeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a run removed from its node before the store has it, or never removed."""
    run.fetch()
    (run.folder / RECORD).write_text("{}")

    def fail(store: RunStore, folder: Path) -> None:
        raise StorageAwayError("no bucket")

    with monkeypatch.context() as patch:
        patch.setattr(RunStore, "push", fail)
        with pytest.raises(StorageAwayError):
            run.hand_over()
    assert (run.folder / RECORD).is_file()
    run.hand_over()
    assert (tmp_path / "bucket" / "validation" / run.folder.name / RECORD).is_file()
    assert not run.folder.exists()


def test_a_node_with_other_data_is_found_out_at_once(run: NodeRun) -> None:
    """Catches: hours spent on a run that nobody asked for, and a result that is nowhere."""
    run.fetch()
    run.require_own(7, is_over=False)
    other = run.folder.with_name("sonic-s0-000000000000")
    with held(other, create=True):
        pid = json.loads((other / "holder.json").read_text())["pid"]
        with pytest.raises(MismatchError, match="node n7 makes sonic-s0-000000000000 instead of"):
            run.require_own(pid, is_over=False)
        run.require_own(pid + 1, is_over=False)
    with pytest.raises(MismatchError, match="makes another run instead of"):
        run.require_own(pid, is_over=True)
    (run.folder / RECORD).touch()
    run.require_own(pid, is_over=True)
