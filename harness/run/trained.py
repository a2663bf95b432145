"""What is trained already: runs that differ in sampling or scoring alone share their training.

A run's identity covers its scores, so that another scorer makes another run. Its weights are
decided by less (`RunIdentity.training_id`), and a run takes over what another one of the same
training has: finished, interrupted, or failed after it was trained.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from core.training.committed import CHECKPOINT_NAME, HASHES
from harness.records.folders import RunFolder
from harness.records.record import RunIdentity
from harness.run.plan import PlannedRun


def checkpoints_of(folder: Path) -> list[Path]:
    """The committed checkpoints of a run, oldest first."""
    found = RunFolder(folder).checkpoints
    if not found.is_dir():
        return []
    names = sorted(path.name for path in found.iterdir() if CHECKPOINT_NAME.match(path.name))
    return [found / name for name in names if (found / name / HASHES).is_file()]


def take_over_training(planned: PlannedRun) -> str | None:
    """The run whose checkpoints this one now has too; None where it has its own, or nobody any.

    The furthest is taken. Files are linked where the disk allows it, so that they take no space;
    a checkpoint is never written in place, so neither run can spoil the other's.
    """
    if checkpoints_of(planned.folder):
        return None
    for name, run in donors_of(planned):
        own, other = RunFolder(planned.folder), RunFolder(run)
        if _link(other.checkpoints / name, own.checkpoints / name):
            if other.events.is_file():
                shutil.copyfile(other.events, own.events)
            return run.name
    return None


def donors_of(planned: PlannedRun) -> list[tuple[str, Path]]:
    """Newest checkpoint and folder of each other run of the same training, the furthest first."""
    donors = [
        (checkpoints[-1].name, run) for run, checkpoints in _same_training(planned) if checkpoints
    ]
    return sorted(donors, reverse=True)


def _same_training(planned: PlannedRun) -> Iterator[tuple[Path, list[Path]]]:
    wanted = planned.identity.training_id
    for run in sorted(planned.folder.parent.glob(f"{planned.identity.variant}-s*")):
        if run == planned.folder:
            continue
        try:
            found = RunIdentity.model_validate_json(RunFolder(run).identity.read_bytes())
        except (OSError, ValidationError):
            continue  # not a run that we can read; whoever asks for it is told
        if found.training_id == wanted:
            yield run, checkpoints_of(run)


def _link(source: Path, target: Path) -> bool:
    """Whether the checkpoint is at `target` now; its owner may prune it meanwhile."""
    partial = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        for path in source.iterdir():
            try:
                os.link(path, partial / path.name)
            except OSError:  # another disk, or one without links
                shutil.copyfile(path, partial / path.name)
        partial.rename(target)
    except FileNotFoundError:
        shutil.rmtree(partial, ignore_errors=True)
        return False
    return True
