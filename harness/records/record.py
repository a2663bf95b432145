"""What is known of a run, on disk: the only thing that comparisons and reports read."""

import json
import math
import os
import platform
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from core.errors import DataError
from core.files import json_sha256, write_atomic
from harness.records.folders import RunFolder
from harness.records.parts import (
    Evaluation,
    ListeningMargin,
    MetricValue,
    SharedSettings,
    SplitFacts,
    StageFacts,
    TrainingBudget,
)
from harness.records.processes import Cost
from harness.records.score_kind import Score
from harness.settings.branch_config import Tuning
from harness.wording.faults import first_fault

SCHEMA_VERSION: Literal[1] = 1
_PACKAGES = ("torch", "diffusers", "transformers", "peft", "accelerate", "numpy")


_OF_SCORES = frozenset({"sampling", "scorers"})
"""Settings that decide how a trained model is scored, and not what it is."""


class Status(StrEnum):
    """How a run ended."""

    FINISHED = "finished"
    FAILED = "failed"


class RunIdentity(BaseModel):
    """What a run is: two runs with the same identity give the same numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    variant: str
    """Name of the branch."""
    seed: int
    """Seed of training and sampling."""
    profile: str
    """Name of the profile, for people; its settings are what counts."""
    settings: dict[str, Any]
    """Every resolved setting of the profile."""
    variant_config: dict[str, Any]
    """Every resolved setting of the variant."""
    split_hash: str
    """Hash of the split."""
    code: dict[str, str]
    """Hash of the sources of the variant, the shared core, the metrics and the arms."""
    models: dict[str, str]
    """Hash or commit of each frozen model and scorer."""
    score: Score = Score.TEST
    """What follows training; a run on the test clips is written without it, as ever."""

    @model_serializer(mode="wrap")
    def _without_test(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = serialize(self)
        if self.score is Score.TEST:
            content.pop("score", None)
        return content

    @property
    def run_id(self) -> str:
        """Short hash of everything that decides the numbers, led by variant and seed."""
        content = self.model_dump(mode="json", exclude={"profile"})
        return f"{self.variant}-s{self.seed}-{json_sha256(content)[:12]}"

    @property
    def training_parts(self) -> tuple[Any, ...]:
        """What decides the weights: settings, the variant's, the split, code and models.

        Not among them: sampling, scorers and metrics, and how often checkpoints are written. The
        number of threads and the micro-batch are: both change roundings of the gradients.
        """
        settings = {k: v for k, v in self.settings.items() if k not in _OF_SCORES}
        training = dict(settings.get("training", {}))
        training.pop("checkpoint_every", None)
        scorers = self.shared.scorers
        return (
            {**settings, "training": training},
            self.variant_config,
            self.split_hash,
            {part: found for part, found in self.code.items() if part != "metrics"},
            {role: found for role, found in self.models.items() if role not in scorers},
        )

    @property
    def training_id(self) -> str:
        """Short hash of what decides the weights: runs that share it share their training."""
        content = [self.variant, self.seed, *self.training_parts]
        return f"{self.variant}-s{self.seed}-{json_sha256(content)[:12]}"

    @property
    def shared(self) -> SharedSettings:
        """What readers ask of the settings."""
        return SharedSettings.model_validate(self.settings)

    @property
    def budget(self) -> TrainingBudget:
        """What its settings allow it to spend on training; by samples in a run without a word."""
        return self.shared.budget

    @property
    def settings_hash(self) -> str:
        """Of the settings that branches share."""
        return json_sha256(self.settings)


class RunRecord(BaseModel):
    """Everything about one run, failures included; written atomically when it ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = SCHEMA_VERSION
    """Format of this record."""
    run_id: str
    """See `RunIdentity.run_id`."""
    status: Status
    """How it ended."""
    identity: RunIdentity
    """What it is."""
    command: str
    """The command that repeats it."""
    results: str | None = None
    """The results folder, as the command names it; None in a record of before it was kept."""
    started_at: str
    """UTC time the last process on it started, ISO 8601."""
    finished_at: str
    """UTC time it ended."""
    split: SplitFacts
    """Counts of each class and part, class weights, exclusions by reason, the lock's path."""
    parameters: dict[str, int] = {}
    """Trainable parameters by group."""
    stages: list[StageFacts] = []
    """Each stage's steps, seconds, losses and gates."""
    guards_passed: list[str] = []
    """Checks that this run passed."""
    metrics: dict[str, MetricValue] = {}
    """Scores with the clip's own sound, each with n, extractor, its hash and direction; of a run
    that `identity.score` keeps from the test clips, on the validation clips."""
    arms: dict[str, dict[str, MetricValue]] = {}
    """The same scores for every arm: own sound, shuffled, silence, text only, real pictures."""
    controls: list[ListeningMargin] = []
    """Paired margins of the own sound over each control."""
    evaluation: Evaluation = Evaluation()
    """Scorers, scores by class, distances against n, nearest training pictures."""
    test_openings: int = 0
    """How often this run has read the test split."""
    num_earlier_failures: int = 0
    """How often it failed before it ended like this."""
    cost: Cost = Cost()
    """Seconds by phase, peak memory, device."""
    environment: dict[str, str] = {}
    """Versions and machine."""
    commits: dict[str, str] = {}
    """By role, the commit whose files were read, of each model that was named by hub id."""
    notices: list[str] = []
    """What went wrong and was repaired, such as a damaged cache shard."""
    tuning: Tuning | None = None
    """How its settings were found: the sweep, its trials, its metric; None where nobody says."""
    error: str | None = None
    """Why it failed."""
    files: dict[str, str] = {}
    """SHA-256 of what the run wrote and others read, by path in its folder; empty in a record of
    before these were kept."""
    checksum: str | None = None
    """Of the file: SHA-256 of all the rest of it. None once it was checked, and in a record of
    before it was kept."""

    def value(self, metric: str, *, arm: str | None = None) -> float | None:
        """A score of the whole run; of its own numbers without `arm`. None where there is none."""
        table = self.metrics if arm is None else self.arms.get(arm, {})
        score = table.get(metric)
        return None if score is None else score.value

    @property
    def steps_done(self) -> int:
        """Optimiser steps over all stages."""
        return sum(stage.steps_done for stage in self.stages)

    @property
    def samples_seen(self) -> int:
        """Training samples over all stages, repeats included."""
        return sum(stage.samples_seen for stage in self.stages)

    @property
    def seconds(self) -> dict[str, float]:
        """Wall-clock seconds by phase; training's over all processes that worked on the run.

        Steps that a kill undid are counted once, when they were made again; of other phases it is
        the last process that counts.
        """
        seconds = dict(self.cost.seconds)
        if self.cost.resumed_from_step is not None and "train" in seconds:
            stages = math.fsum(stage.seconds for stage in self.stages)
            seconds["train"] = max(seconds["train"], stages)
        return seconds

    @property
    def total_seconds(self) -> float:
        """Over all phases; 0 where none was recorded."""
        return math.fsum(self.seconds.values())

    def save(self, folder: Path) -> Path:
        """Write `record.json` into the run's folder, whole or not at all."""
        path = RunFolder(folder).record
        body = json.loads(self.model_dump_json(exclude={"checksum"}))
        sealed = self.model_copy(update={"checksum": json_sha256(body)})
        write_atomic(path, content=(sealed.model_dump_json(indent=2) + "\n").encode())
        return path


def load_record(path: Path) -> RunRecord:
    """The record in a file or a run's folder.

    Raises:
        DataError: it is missing, not a record of this format, or its id is not its identity's.
    """
    if path.is_dir():
        path = RunFolder(path).record
    try:
        content = path.read_bytes()
        record = RunRecord.model_validate_json(content)
    except OSError as error:
        raise DataError(f"no record at {path} ({error.strerror})") from None
    except ValidationError as error:
        raise DataError(
            f"{path} is not a run record of format {SCHEMA_VERSION}: {first_fault(error)}"
        ) from None
    # Of what stands in the file: a later version may fill in what this one does not hold.
    body = json.loads(content)
    written = body.pop("checksum", None)
    try:
        own_id, checksum = record.identity.run_id, json_sha256(body)
    except ValueError:  # JSON of other tools may say NaN, or 1e999
        raise DataError(
            f"{path} holds a number that is not finite, which no run writes; it was edited"
        ) from None
    if record.run_id != own_id:
        raise DataError(
            f"{path} names {record.run_id} and holds the identity of {own_id}; it was edited"
        )
    if record.checksum is not None and written != checksum:
        raise DataError(
            f"{path} was edited after the run {record.run_id} wrote it: its checksum does not fit; "
            f"put the file back, or delete it and run again, which scores again: {record.command}"
        )
    return record.model_copy(update={"checksum": None})


def environment() -> dict[str, str]:
    """Versions of what computes, and the machine's kind."""
    found = {"python": platform.python_version(), "platform": platform.platform(terse=True)}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    found["cpus"] = str(os.cpu_count())
    return found


def now() -> str:
    """UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
