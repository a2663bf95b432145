"""`harness clean`: what may go goes, what somebody may need stays."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from core.errors import UsageError
from core.training.committed import HASHES, STATE, TENSORS, is_verified
from harness.cli.main import app
from harness.metrics.feature_cache import FeatureCache
from harness.records.lock import held
from harness.records.parts import SplitFacts
from harness.records.record import RunIdentity, RunRecord, Status
from harness.records.score_kind import Score
from harness.records.unaltered import file_hashes
from harness.retention.clean import clean_results
from harness.retention.rules import Rule


def checkpoint(run: Path, step: int, *, is_damaged: bool = False) -> Path:
    folder = run / "checkpoints" / f"step-{step:08d}"
    folder.mkdir(parents=True)
    (folder / TENSORS).write_bytes(b"t" * 1000)
    (folder / STATE).write_text("{}")
    hashes = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (TENSORS, STATE)
    }
    (folder / HASHES).write_text(json.dumps(hashes))
    if is_damaged:
        (folder / TENSORS).write_bytes(b"u" * 1000)
    return folder


def run_folder(
    results: Path, name: str, *, status: Status | None, score: Score = Score.TEST
) -> Path:
    """A run that ended like this; None: it was interrupted."""
    identity = RunIdentity(
        variant=name, seed=0, profile="tiny", settings={}, variant_config={}, split_hash="s",
        code={}, models={}, score=score,
    )  # fmt: skip
    folder = results / score.folder / identity.run_id
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"w" * 500)
    (folder / "per_clip.csv").write_text("sample_id\n")
    if status is not None:
        RunRecord(
            run_id=identity.run_id, status=status, identity=identity, command="harness run",
            started_at="", finished_at="", files=file_hashes(folder),
            split=SplitFacts(lock="none.json", hash="s", counts={}, excluded={}, num_input=None),
        ).save(folder)  # fmt: skip
    return folder


def checkpoints_in(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def aged(path: Path) -> Path:
    os.utime(path, (1, 1))
    return path


def test_a_finished_run_keeps_one_checkpoint_and_all_that_is_compared(tmp_path: Path) -> None:
    """Catches: 39 GB of checkpoints that stay, or weights and scores that go with them."""
    run = run_folder(tmp_path, "sonic", status=Status.FINISHED)
    for step in (10, 20, 30):
        checkpoint(run, step)
    done = clean_results(tmp_path, is_dry_run=False)
    assert checkpoints_in(run) == ["step-00000030"]
    assert {item.rule.value for item in done.items} == {"older_checkpoint"}
    assert done.size_bytes > 2000
    assert (run / "weights.safetensors").is_file()
    assert (run / "per_clip.csv").is_file()
    clean_results(tmp_path, is_dry_run=False, with_last=True)
    assert checkpoints_in(run) == []
    assert not clean_results(tmp_path, is_dry_run=False, with_last=True).items


def test_the_last_checkpoint_stays_where_the_weights_are_not_what_was_written(
    tmp_path: Path,
) -> None:
    """Catches: the only whole copy of a training that is removed beside damaged weights."""
    run = run_folder(tmp_path, "sonic", status=Status.FINISHED)
    checkpoint(run, 10)
    (run / "weights.safetensors").write_bytes(b"spoilt")
    clean_results(tmp_path, is_dry_run=False, with_last=True)
    assert checkpoints_in(run) == ["step-00000010"]


@pytest.mark.parametrize("status", [None, Status.FAILED])
def test_an_unfinished_run_keeps_every_checkpoint_that_verifies(
    tmp_path: Path, status: Status | None
) -> None:
    """Catches: the only verified checkpoint of a run that goes on tomorrow."""
    run = run_folder(tmp_path, "sonic", status=status)
    checkpoint(run, 10)
    checkpoint(run, 20, is_damaged=True)
    clean_results(tmp_path, is_dry_run=False, with_last=True)
    assert checkpoints_in(run) == ["step-00000010"]


def test_where_nothing_verifies_nothing_goes(tmp_path: Path) -> None:
    """Catches: a run that starts from zero in silence since its damaged checkpoint was removed."""
    run = run_folder(tmp_path, "sonic", status=None)
    checkpoint(run, 20, is_damaged=True).rename(run / "checkpoints" / "step-00000020.damaged")
    checkpoint(run, 30, is_damaged=True)
    assert not clean_results(tmp_path, is_dry_run=False, with_last=True).items
    assert checkpoints_in(run) == ["step-00000020.damaged", "step-00000030"]


def test_a_trial_keeps_its_numbers_alone(tmp_path: Path) -> None:
    """Catches: checkpoints of a thousand trials, which are made again when they are wanted."""
    run = run_folder(tmp_path, "sonic", status=Status.FINISHED, score=Score.LOSS)
    checkpoint(run, 10)
    clean_results(tmp_path, is_dry_run=False)
    assert checkpoints_in(run) == []
    assert (run / "record.json").is_file()


def test_leftovers_go_once_they_are_old(tmp_path: Path) -> None:
    """Catches: a file that another process is just writing, removed under it."""
    run = run_folder(tmp_path, "sonic", status=None)
    (run / ".tmp-a").write_bytes(b"x" * 10)
    old = [aged(run / ".tmp-a")]
    (run / ".tmp-young").write_bytes(b"x")
    half = run / "checkpoints" / ".step-00000010.77.tmp"
    half.mkdir(parents=True)
    (half / TENSORS).write_bytes(b"x" * 20)
    aged(half)
    (tmp_path / "reports" / "a").mkdir(parents=True)
    (tmp_path / "reports" / "a" / ".tmp-b").write_bytes(b"y")
    old.append(aged(tmp_path / "reports" / "a" / ".tmp-b"))
    done = clean_results(tmp_path, is_dry_run=False)
    assert not half.exists()
    assert not any(path.exists() for path in old)
    assert (run / ".tmp-young").exists()
    assert done.size_bytes == 31


def test_a_dry_run_changes_nothing_and_names_the_same(tmp_path: Path) -> None:
    """Catches: a lock, a time or a file that a look alone leaves behind."""
    for name in ("sonic", "baseline"):
        run = run_folder(tmp_path, name, status=Status.FINISHED)
        for step in (10, 20):
            checkpoint(run, step)
    before = everything(tmp_path)
    planned = clean_results(tmp_path, is_dry_run=True)
    assert everything(tmp_path) == before
    done = clean_results(tmp_path, is_dry_run=False)
    assert [item.path for item in done.items] == [item.path for item in planned.items] != []
    assert done.size_bytes == planned.size_bytes


def test_a_run_that_is_worked_on_is_left(tmp_path: Path) -> None:
    """Catches: a checkpoint that goes while its run reads it."""
    run = run_folder(tmp_path, "sonic", status=Status.FINISHED)
    for step in (10, 20):
        checkpoint(run, step)
    with held(run):
        done = clean_results(tmp_path, is_dry_run=False)
        assert clean_results(tmp_path, is_dry_run=True).in_use == (run.name,)
    assert (done.in_use, done.items) == ((run.name,), ())
    assert is_verified(run / "checkpoints" / "step-00000010")


def test_a_shared_file_counts_once_it_is_the_last(tmp_path: Path) -> None:
    """Catches: gigabytes that are promised and not set free, since another run links the file."""
    run = run_folder(tmp_path, "sonic", status=Status.FINISHED)
    first = checkpoint(run, 10)
    checkpoint(run, 20)
    os.link(first / TENSORS, tmp_path / "linked")
    (item,) = clean_results(tmp_path, is_dry_run=True).items
    assert item.size_bytes < 1000


def test_features_stay_where_a_split_is_not_known(tmp_path: Path) -> None:
    """Catches: hours of encoding removed since the lock lies on a disk that is not mounted."""
    run_folder(tmp_path, "sonic", status=Status.FINISHED)
    shards = tmp_path / "cache" / "features" / "clap-0123456789abcdef"
    shards.mkdir(parents=True)
    (shards / "settings.json").write_text("{}")
    (shards / "a.safetensors").write_bytes(b"x" * 9)
    (shards / "a.json").write_text("{}")
    found = clean_results(tmp_path, is_dry_run=False)
    assert len(found.unknown) == 1
    assert (shards / "a.safetensors").is_file()


def test_the_command_prints_sizes_and_rules(tmp_path: Path) -> None:
    """Catches: a removal that is not explained, an object that is not one."""
    run = run_folder(tmp_path, "sonic", status=Status.FINISHED)
    for step in (10, 20):
        checkpoint(run, step)
    words = ["clean", "--dry-run", "--results", str(tmp_path)]
    shown = CliRunner().invoke(app, words)
    assert "older checkpoint" in shown.output
    assert "would be removed" in shown.output
    found = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert (found["is_dry_run"], len(found["removed"])) == (True, 1)
    assert checkpoints_in(run) == ["step-00000010", "step-00000020"]
    with pytest.raises(UsageError, match="no results folder"):
        clean_results(tmp_path / "absent", is_dry_run=True)


def scored(folder: Path, *, scorer: str, **context: str) -> Path:
    """The file that scoring under this context keeps."""
    before = set(folder.glob("*.npz"))
    FeatureCache(folder, context={"core": "c", "metrics": "m", **context}).arrays(
        "pictures clip",
        ids=["a", "b"],
        fingerprint=scorer,
        compute=lambda: {"features": np.zeros((2, 3))},
    )
    (made,) = set(folder.glob("*.npz")) - before
    return made


def test_scorer_features_go_once_no_run_was_scored_with_them(finished: Any, tmp_path: Path) -> None:
    """Catches: features of real media that stay for ever after their split's runs are gone, and
    features that the next run of a split would read taken from it."""
    results = tmp_path / "results"
    shutil.copytree(finished.folder.parents[1], results)
    kept = sorted((results / "cache" / "scorer_features").glob("*.npz"))
    assert kept
    folder = kept[0].parent
    identity = finished.record.identity
    used = {"split": identity.split_hash, **{n: identity.code[n] for n in ("core", "metrics")}}
    kept.append(scored(folder, scorer="another scorer of the same runs", **used))
    gone = [
        scored(folder, scorer="s", **{**used, "split": "of runs that were deleted"}),
        scored(folder, scorer="s", **{**used, "metrics": "code of last week"}),
    ]
    before = folder / "pictures-clip-0.npz"
    np.savez(before, features=np.zeros((2, 3)))
    (dry, done) = (clean_results(results, is_dry_run=value) for value in (True, False))
    for cleaned in (dry, done):
        items = [i for i in cleaned.items if i.rule is Rule.UNUSED_SCORER_FEATURES]
        assert {item.path for item in items} == {*gone, before}
        assert all(item.size_bytes for item in items)
    assert sorted(folder.glob("*.npz")) == sorted(kept)
