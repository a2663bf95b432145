"""What may go from a results folder, and why; nothing is changed here.

Whatever a rule does not name stays: records, tables, images, weights, reports, locks, and every
checkpoint that verifies of a run that is not finished.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from core.errors import HarnessError
from core.files import TEMPORARY_PREFIX, file_sha256
from core.training.committed import committed_checkpoints, is_verified
from harness.metrics.feature_cache import About
from harness.records.folders import ResultsFolder, RunFolder
from harness.records.record import RunRecord, Status, load_record
from harness.records.score_kind import Score

_LEFTOVER_AGE_S = 60.0


class Rule(StrEnum):
    """Why something may go."""

    LEFTOVER = "leftover"
    OLDER_CHECKPOINT = "older_checkpoint"
    LAST_CHECKPOINT = "last_checkpoint"
    TRIAL_CHECKPOINT = "trial_checkpoint"
    DAMAGED_CHECKPOINT = "damaged_checkpoint"
    UNUSED_FEATURES = "unused_features"
    UNUSED_SCORER_FEATURES = "unused_scorer_features"

    @property
    def sentence(self) -> str:
        """The rule in words."""
        return _SENTENCES[self]


_SENTENCES = {
    Rule.LEFTOVER: "half-written files that a stopped process left, older than a minute",
    Rule.OLDER_CHECKPOINT: "checkpoints of a finished run, but the newest that verifies",
    Rule.LAST_CHECKPOINT: "that newest one too (--checkpoints), where the run's weights verify",
    Rule.TRIAL_CHECKPOINT: "checkpoints of a finished run that was never scored on the test clips",
    Rule.DAMAGED_CHECKPOINT: "damaged checkpoints, where one that verifies is there",
    Rule.UNUSED_FEATURES: "cached features of files that no split of these results holds",
    Rule.UNUSED_SCORER_FEATURES: "cached scorer features of a split, or of code, that no run of "
    "these results was made with",
}


@dataclass(frozen=True)
class Item:
    """A file or a folder that may go."""

    path: Path
    """Where it is."""
    rule: Rule
    """Why."""
    size_bytes: int
    """What is set free; a file that another run shares counts 0."""


def items_of_run(folder: Path, *, with_last: bool) -> Iterator[Item]:
    """What may go of one run, which nobody works on.

    with_last: the newest checkpoint of a finished run too, after which its weights can be sampled
    and compared, and not scored again by `harness score`.
    """
    yield from leftovers(folder)
    files = RunFolder(folder)
    committed = committed_checkpoints(files.checkpoints)
    damaged = [path for path in files.checkpoints.glob("step-*.damaged") if path.is_dir()]
    if not committed and not damaged:
        return
    whole = [path for path in committed if is_verified(path)]
    broken = [*damaged, *(path for path in committed if path not in whole)]
    record = _finished(folder)
    if whole or record is not None:
        yield from (_item(path, Rule.DAMAGED_CHECKPOINT) for path in broken)
    if record is None:
        return
    if record.identity.score is not Score.TEST:
        yield from (_item(path, Rule.TRIAL_CHECKPOINT) for path in whole)
        return
    yield from (_item(path, Rule.OLDER_CHECKPOINT) for path in whole[:-1])
    if with_last and whole and _weights_verify(record, folder):
        yield _item(whole[-1], Rule.LAST_CHECKPOINT)


def scorer_features(results: Path) -> Iterator[Item]:
    """Cached features of real media that no run of these results was scored by.

    They are known by split and code; files that do not say theirs are of before, and of other code.
    """
    used = set[tuple[str, tuple[str, str]]]()
    for folder in run_folders(results):
        if RunFolder(folder).record.is_file():
            identity = load_record(folder).identity
            code = identity.code.get("core", ""), identity.code.get("metrics", "")
            used.add((identity.split_hash, code))
    for path in sorted(ResultsFolder(results).scorer_features.glob("*.npz")):
        about = About.of(path)
        if about is None or (about.split, about.code) not in used:
            yield _item(path, Rule.UNUSED_SCORER_FEATURES)


def leftovers(folder: Path, *, deep: bool = True) -> Iterator[Item]:
    """Half-written files and folders below `folder` that a stopped process left.

    deep: look below its folders too.
    """
    now = time.time()
    for pattern in (f"{TEMPORARY_PREFIX}*", ".step-*", ".*.unpacking-*"):
        for path in sorted(folder.rglob(pattern) if deep else folder.glob(pattern)):
            try:
                is_old = now - path.lstat().st_mtime > _LEFTOVER_AGE_S
            except OSError:  # gone meanwhile
                continue
            if is_old and not path.is_symlink():
                yield _item(path, Rule.LEFTOVER)


def run_folders(results: Path) -> list[Path]:
    """Folders of all runs, of those that are scored on the test clips and the others."""
    found = ResultsFolder(results)
    return [
        path
        for parent in (found.runs, found.validation)
        if parent.is_dir()
        for path in sorted(parent.iterdir())
        if path.is_dir() and not path.is_symlink()
    ]


def _finished(folder: Path) -> RunRecord | None:
    """The record of a finished run; None where it is anything else, or cannot be read."""
    if not RunFolder(folder).record.is_file():
        return None
    try:
        record = load_record(folder)
    except HarnessError:
        return None
    return record if record.status is Status.FINISHED else None


def _weights_verify(record: RunRecord, folder: Path) -> bool:
    weights = RunFolder(folder).weights
    expected = record.files.get(weights.name)
    return expected is not None and weights.is_file() and file_sha256(weights) == expected


def _item(path: Path, rule: Rule) -> Item:
    return Item(path, rule, _size(path))


def _size(path: Path) -> int:
    """Bytes that removing it sets free: of a file with another name elsewhere, none."""
    if path.is_dir():
        files = [Path(root) / name for root, _, names in os.walk(path) for name in names]
    else:
        files = [path]
    total = 0
    for file in files:
        try:
            found = file.lstat()
        except OSError:
            continue
        total += found.st_size if found.st_nlink == 1 else 0
    return total
