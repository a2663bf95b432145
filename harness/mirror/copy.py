"""Copies what a run wrote, now and as it goes on, to a tracker.

It reads the run's files and is a process of its own: a tracker that is slow, or away, cannot hold
up a run or end it, and a run that was made without one can be copied later.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import DataError
from core.training.results import StepReport
from harness.mirror.sinks import Sink, Target
from harness.records.events import EventTail
from harness.records.folders import RunFolder
from harness.records.record import RunIdentity, RunRecord, load_record

_POLL_S = 5.0


class Mirror:
    """One run at one tracker."""

    def __init__(self, folder: Path, *, kind: type[Sink], target: Target) -> None:
        """Open it at the tracker.

        Raises:
            DataError: the folder does not say which run it is.
            UsageError: the tracker's package is not installed.
        """
        self._files = RunFolder(folder)
        identity = _identity(self._files)
        self.name = folder.name
        self._tail = EventTail(self._files.events)
        self._sink = kind(folder.name, settings=_settings(identity), target=target)
        self.num_steps = 0
        self.is_over = False

    def copy_new(self) -> None:
        """What was written since the last call, the end included."""
        record = _ended(self._files)  # before the steps: all of them lie there by then
        for step in self._tail.new_steps():
            if step.global_step > self._sink.last_step:
                self._sink.log(step_values(step), step=step.global_step)
                self.num_steps += 1
        if record is not None and not self.is_over:
            self._sink.finish(score_values(record), status=str(record.status))
            self.is_over = True

    def close(self) -> None:
        """Let go of the tracker."""
        self._sink.close()


def copy_runs(
    folders: Sequence[Path],
    *,
    kind: type[Sink],
    target: Target,
    follow: bool,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, int]:
    """Copy runs to a tracker; by name, how many steps were new to it.

    follow: go on until every run has ended.

    Raises: as `Mirror`.
    """
    copied = {}
    going = list(folders)
    # One after the other where all have ended: a tracker may know one open run a process.
    mirrors = [Mirror(folder, kind=kind, target=target) for folder in going] if follow else []
    try:
        while mirrors:
            for mirror in mirrors:
                mirror.copy_new()
                copied[mirror.name] = mirror.num_steps
                if mirror.is_over:
                    say(f"{mirror.name} has ended; {mirror.num_steps} steps copied")
                    mirror.close()
            mirrors = [mirror for mirror in mirrors if not mirror.is_over]
            if mirrors:
                sleep(_POLL_S)
    finally:
        for mirror in mirrors:
            mirror.close()
    for folder in () if follow else going:
        mirror = Mirror(folder, kind=kind, target=target)
        try:
            mirror.copy_new()
        finally:
            mirror.close()
        copied[mirror.name] = mirror.num_steps
        say(f"{mirror.name}: {mirror.num_steps} steps copied")
    return copied


def step_values(step: StepReport) -> dict[str, float]:
    """Numbers of one step, by the names they get at a tracker; what is not finite is left out."""
    found: dict[str, float | None] = {
        "train/loss": step.loss,
        "train/lr": step.lr,
        "train/grad_norm": step.grad_norm,
        "validation/loss": step.validation_loss,
        **{f"train/loss_{name}": value for name, value in step.losses.items()},
        **{f"gates/{name}": value for name, value in step.gates.items()},
    }
    return {name: x for name, x in found.items() if x is not None and math.isfinite(x)}


def score_values(record: RunRecord) -> dict[str, float]:
    """A record's scores: the run's own by their names, those of arms behind the arm's name."""
    found = {name: score.value for name, score in record.metrics.items()}
    for arm, scores in record.arms.items():
        found |= {f"{arm}/{name}": score.value for name, score in scores.items()}
    return {name: x for name, x in found.items() if x is not None and math.isfinite(x)}


def _identity(files: RunFolder) -> RunIdentity:
    try:
        return RunIdentity.model_validate_json(files.identity.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{files.identity} does not say which run this is: {error}") from None


def _ended(files: RunFolder) -> RunRecord | None:
    return load_record(files.record) if files.record.is_file() else None


def _settings(identity: RunIdentity) -> dict[str, str]:
    values = {"variant": identity.variant, "seed": identity.seed, "profile": identity.profile}
    flat = {name: str(value) for name, value in values.items()}
    flat |= dict(_flat(identity.settings))
    return flat | dict(_flat(identity.variant_config, head=identity.variant))


def _flat(values: Mapping[str, Any], *, head: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        path = f"{head}.{name}" if head else name
        if isinstance(value, Mapping):
            yield from _flat(value, head=path)
        else:
            yield path, value if isinstance(value, str) else json.dumps(value, default=str)
