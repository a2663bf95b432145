"""Everything about a sweep, on disk: what its report and `harness show` read.

It is written anew from the study whenever a trial ends; the study is the truth while it goes on.
"""

from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import DataError
from core.files import write_atomic
from harness.records.folders import SweepFolder
from harness.settings.profile import ComparisonSettings
from harness.wording.faults import first_fault

GPU_SECONDS = "gpu_seconds"
TRAINABLE_PARAMETERS = "trainable_parameters"
COSTS = (GPU_SECONDS, TRAINABLE_PARAMETERS)
"""What can be searched for besides metrics of clips; less is better."""


SettingValue = bool | int | float | str | None
"""What a search may draw for a setting."""


class _Part(BaseModel):
    # JSON has no NaN, and pydantic would write null, which no reader takes for a number.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class TrialState(StrEnum):
    """How far a trial is."""

    WAITING = "waiting"  # died with its worker; will be tried again with the same settings
    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"  # by its own fault: a guard refused the settings, or they gave NaN
    LOST = "lost"  # its worker died; another trial stands in for it, so it does not count

    @property
    def counts(self) -> bool:
        """Whether it is one of the asked number of trials."""
        return self in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED)


class Metric(_Part):
    """What is searched for."""

    name: str
    """Of the registry (`kid`), or `validation_loss`, `gpu_seconds`, `trainable_parameters`."""
    is_higher_better: bool
    """Its direction."""


class Dimension(_Part):
    """One parameter of a search space."""

    name: str
    """The field of the variant's settings."""
    kind: Literal["float", "int", "categorical"]
    """What its values are."""
    low: float | None = None
    """Smallest value of a number."""
    high: float | None = None
    """Largest value."""
    is_log: bool = False
    """Whether it is searched by orders of magnitude."""
    choices: list[SettingValue] = []
    """Values of a categorical one."""


class TrialRecord(_Part):
    """One trial."""

    number: int
    """Of the study."""
    state: TrialState
    """How far it is."""
    is_default: bool = False
    """Whether it is the branch as the profile has it, which every sweep tries first."""
    params: dict[str, SettingValue] = {}
    """What was drawn; of the default trial, those of its settings that lie in the space."""
    values: dict[str, float] = {}
    """By metric, of a complete trial."""
    validation_losses: list[tuple[int, float]] = []
    """Step of the whole schedule and validation loss there."""
    stage_ends: dict[str, int] = {}
    """By stage, the step of the whole schedule at which it is planned to end."""
    run_id: str | None = None
    """The run that it is, under `results/validation`."""
    steps: int = 0
    """Optimiser steps done; 0 of a lost trial, whose retry went on with its run."""
    seconds: float | None = None
    """Seconds by the clock in training, over all processes that went on with it."""
    device_seconds: float | None = None
    """Seconds of the device in training (of the CPU without a GPU)."""
    retry_of: int | None = None
    """The trial it stands in for, whose worker died."""
    error: str | None = None
    """Why it failed."""
    started_at: str | None = None
    """UTC, ISO 8601."""
    finished_at: str | None = None
    """UTC, ISO 8601."""


class TestRuns(_Part):
    """Runs on the test clips of one seed, made after the search (`--test-seeds`)."""

    __test__ = False  # not a test, whatever pytest thinks of the name

    seed: int
    default_run_id: str
    """The branch as the profile has it, under `results/runs`."""
    best_run_id: str
    """With the best settings."""
    best: int
    """The trial whose settings these were; a longer search may have found better ones since."""


class BranchSweep(_Part):
    """The search of one branch."""

    variant: str
    study: str
    """Name of its Optuna study."""
    space: list[Dimension]
    """As far as the trials have drawn from it; conditional ones included."""
    trials: list[TrialRecord]
    """By number."""
    best: int | None = None
    """Number of the best complete trial; by the first metric where there are several."""
    front: list[int] = []
    """With several metrics, the trials that no other beats in all of them."""
    config: str | None = None
    """TOML of the best settings, relative to the sweep's folder."""
    test_runs: list[TestRuns] = []
    """Best against defaults on the test clips."""

    def trial(self, number: int) -> TrialRecord:
        """The trial of that number."""
        return next(trial for trial in self.trials if trial.number == number)

    @property
    def counts(self) -> dict[str, int]:
        """Trials by state, states without any left out."""
        found: dict[str, int] = {}
        for trial in self.trials:
            found[trial.state.value] = found.get(trial.state.value, 0) + 1
        return found


class SweepRecord(_Part):
    """One sweep of one or several branches, equal in everything but the branch."""

    schema_version: Literal[1] = 1
    name: str
    """Its folder under `results/sweeps`."""
    command: str
    """The command that goes on with it; without a database's password."""
    profile: str
    """Name of the profile."""
    shared_words: list[str]
    """The command line's words for what every trial shared: settings, data and results."""
    comparison: ComparisonSettings
    """By what branches, and the best and the defaults, are compared on the test clips."""
    metrics: list[Metric]
    """What is searched for; the first decides what is best."""
    num_trials: int
    """Asked of each branch."""
    seed: int
    """Seed of the search and of every trial's training."""
    split_hash: str
    """Of the split; its test part is not read."""
    num_validation: int
    """Validation clips."""
    storage: Literal["journal", "postgresql", "sqlite"]
    """Where the study is kept; `sqlite` in records of before, when one could be."""
    storage_url: str | None = None
    """The same as the user named it, without a password; None: in the sweep's folder."""
    test_seeds: int = 0
    """Seeds that the command scores on the test clips after the search (`--test-seeds`); 0 in a
    record of before it was kept."""
    sampler: str
    """What proposes settings."""
    pruner: str
    """What ends a trial early; `none` with several metrics."""
    branches: list[BranchSweep]
    """One search each."""

    def save(self, folder: Path) -> Path:
        """Write `sweep.json`, whole or not at all."""
        path = SweepFolder(folder).record
        write_atomic(path, content=(self.model_dump_json(indent=2) + "\n").encode())
        return path


def load_sweep(folder: Path) -> SweepRecord:
    """The sweep in a folder.

    Raises:
        DataError: there is none, or it is not of this format.
    """
    path = SweepFolder(folder).record
    try:
        return SweepRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"no sweep at {path} ({error.strerror})") from None
    except ValidationError as error:
        raise DataError(f"{path} is not a sweep of format 1: {first_fault(error)}") from None
