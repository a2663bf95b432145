"""Checkpoints: whole or not there, verified before use, never the last ones lost."""

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import MismatchError, NoSpaceError
from core.training import checkpoints
from core.training.checkpoints import Checkpoint, CheckpointFolder


def checkpoint(step: int) -> Checkpoint:
    tensors = {"w": torch.arange(4.0) + step, "v": torch.full((2,), float(step))}
    return Checkpoint(step, tensors, {"stage": "stage1", "step": step})


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    """Catches: a tensor, the state or the step lost on the way through the disk."""
    saved = checkpoint(7)
    CheckpointFolder(tmp_path).save(saved)
    found = CheckpointFolder(tmp_path).latest()
    assert found is not None
    assert found.global_step == 7
    assert found.state["stage"] == "stage1"
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in saved.tensors.items())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000007"]


def test_a_folder_without_checkpoints_has_no_latest(tmp_path: Path) -> None:
    """Catches: a fresh run taken for a damaged one."""
    assert CheckpointFolder(tmp_path / "none").latest() is None


def test_step_2999_is_later_than_step_999(tmp_path: Path) -> None:
    """Catches: names sorted as text, so that resume goes back to step 999."""
    for step in (999, 2999):
        CheckpointFolder(tmp_path).save(checkpoint(step))
    found = CheckpointFolder(tmp_path).latest()
    assert found is not None
    assert found.global_step == 2999


def test_pruning_keeps_the_two_newest(tmp_path: Path) -> None:
    """Catches: a folder that fills the disk, or one with no second checkpoint to go back to."""
    for step in (1, 2, 3, 4):
        CheckpointFolder(tmp_path).save(checkpoint(step))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000003", "step-00000004"]


def damages() -> Iterator[tuple[str, str, int]]:
    """File and relative position of one flipped byte, through every region of each file."""
    for name in ("tensors.safetensors", "state.json", "sha256.json"):
        for percent in (0, 3, 10, 25, 50, 75, 99):
            yield f"{name} at {percent} %", name, percent


@pytest.mark.parametrize(("name", "percent"), [d[1:] for d in damages()])
def test_a_flipped_byte_sets_the_checkpoint_aside_and_the_previous_is_used(
    tmp_path: Path, name: str, percent: int
) -> None:
    """Catches: flipped payload bits, which safetensors loads without a word."""
    for step in (1, 2):
        CheckpointFolder(tmp_path).save(checkpoint(step))
    path = tmp_path / "step-00000002" / name
    raw = bytearray(path.read_bytes())
    raw[len(raw) * percent // 100] ^= 0x10
    path.write_bytes(raw)
    folder = CheckpointFolder(tmp_path)
    found = folder.latest()
    assert found is not None
    assert found.global_step == 1
    assert "step-00000002 is damaged" in folder.notices[0]
    assert (tmp_path / "step-00000002.damaged" / name).read_bytes() == bytes(raw)


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "sha256.json"])
@pytest.mark.parametrize("kept", [0.0, 0.5])
def test_a_truncated_or_missing_file_sets_the_checkpoint_aside(
    tmp_path: Path, name: str, kept: float
) -> None:
    """Catches: a traceback, or a restart from zero, after a cut-off write."""
    for step in (1, 2):
        CheckpointFolder(tmp_path).save(checkpoint(step))
    path = tmp_path / "step-00000002" / name
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * kept)]) if kept else path.unlink()
    found = CheckpointFolder(tmp_path).latest()
    assert found is not None
    assert found.global_step == 1


def test_a_hash_list_of_another_kind_is_damage_not_a_traceback(tmp_path: Path) -> None:
    """Catches: `null` in the hash file ending in a TypeError."""
    for step in (1, 2):
        CheckpointFolder(tmp_path).save(checkpoint(step))
    (tmp_path / "step-00000002" / "sha256.json").write_text("null")
    found = CheckpointFolder(tmp_path).latest()
    assert found is not None
    assert found.global_step == 1


def test_only_damaged_checkpoints_are_refused_now_and_later(tmp_path: Path) -> None:
    """Catches: the second attempt starting from zero, once the first has set all aside."""
    for step in (1, 2):
        CheckpointFolder(tmp_path).save(checkpoint(step))
    for path in tmp_path.glob("*/tensors.safetensors"):
        path.write_bytes(b"damaged")
    for _ in range(2):
        with pytest.raises(MismatchError, match="to start again from step 0, delete the run"):
            CheckpointFolder(tmp_path).latest()
    assert len(list(tmp_path.glob("*.damaged/tensors.safetensors"))) == 2


@pytest.mark.parametrize("moment", ["save_file", "file_sha256", "sync_folder"])
def test_a_kill_before_the_rename_leaves_the_old_checkpoint(
    tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: half a checkpoint under its final name, and leftovers that pile up."""
    CheckpointFolder(tmp_path).save(checkpoint(1))

    def killed(*args: Any, **kwargs: Any) -> None:
        os._exit(9)

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(checkpoints, moment, killed)
        CheckpointFolder(tmp_path).save(checkpoint(2))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    found = CheckpointFolder(tmp_path).latest()
    assert found is not None
    assert found.global_step == 1
    CheckpointFolder(tmp_path).save(checkpoint(3))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000001", "step-00000003"]


@pytest.mark.parametrize(
    "cause", [OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EDQUOT, "Quota")]
)
def test_a_full_disk_is_a_sentence_and_the_old_checkpoint_is_intact(
    tmp_path: Path, cause: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: an old checkpoint removed before the new one is safe."""
    CheckpointFolder(tmp_path).save(checkpoint(1))
    before = contents(tmp_path)

    def full(tensors: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise cause

    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(NoSpaceError, match="intact"):
        CheckpointFolder(tmp_path).save(checkpoint(2))
    assert contents(tmp_path) == before


def test_nothing_in_a_checkpoint_is_unpickled(tmp_path: Path) -> None:
    """Catches: a pickle among the files, or torch.load on the way back."""
    CheckpointFolder(tmp_path).save(checkpoint(1))
    files = contents(tmp_path / "step-00000001")
    assert sorted(files) == ["sha256.json", "state.json", "tensors.safetensors"]
    assert json.loads(files["state.json"])["global_step"] == 1
    source = Path(checkpoints.__file__).read_text()
    assert "pickle" not in source.replace("unpickled", "")
    assert "torch.load(" not in source
