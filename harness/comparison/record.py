"""What is known of a comparison, on disk: the only thing that its views and its report read.

Beside it lie the runs it names; `ComparisonRecord.run_folder` finds them, also after the whole
results folder has moved.
"""

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from core.choices import BudgetKind
from core.errors import DataError
from core.files import write_atomic
from harness.comparison.evidence import (
    Listening,
    Looks,
    NearReal,
    Part,
    ToAdd,
    Trainings,
)
from harness.comparison.pair_result import PairResult
from harness.records.certificate import Certificate
from harness.records.folders import ReportFolder
from harness.records.record import Status
from harness.settings.branch_config import Tuning
from harness.statistics.outcome import Outcome, Population, Strength
from harness.wording.faults import first_fault

SCHEMA_VERSION: Literal[1] = 1


class BranchScore(Part):
    """One branch on one metric."""

    mean: float | None
    """Mean over seeds; None where a seed has no value."""
    sd: float | None
    """Standard deviation over seeds; None with one seed or without a mean."""
    values: dict[int, float | None]
    """Value of each seed."""
    run_ids: dict[int, str]
    """Run behind each value."""
    reason: str | None
    """Why a value is missing."""


class MetricRow(Part):
    """One metric over all branches, with what a reader must know to read it."""

    metric: str
    """Name in the registry."""
    is_primary: bool
    """Whether the verdict rests on it."""
    higher_is_better: bool
    """Direction."""
    role: str
    """What it is for: listening, agreement, text or quality."""
    unit: str
    """What one unit of it is."""
    definition: str
    """One line for a reader."""
    extractor: str | None
    """Names of the scorers."""
    extractor_hash: str | None
    """Hashes of the scorers' files."""
    n: int
    """Smallest number of clips or images behind one run's value."""
    chance: float | None
    """Value of a model that does not listen, where there is one."""
    real: float | None
    """What real pictures get: the ceiling of a score, the floor of a distance."""
    branches: dict[str, BranchScore]
    """Scores by branch."""


class SpentBudget(Part):
    """What one run was allowed to spend on training, and what it spent."""

    kind: BudgetKind
    """What is counted."""
    steps: int
    """Optimiser steps done."""
    samples: int
    """Training samples seen."""
    allowed: float | None = None
    """Seconds or FLOPs it may spend; None: by samples."""
    planned: float | None = None
    """Steps done times what a step costs; None: by samples."""
    step_cost: dict[str, float] | None = None
    """By stage, what one step costs; None: by samples."""
    device_seconds: float | None = None
    """Seconds of the device; None where they were not measured, and of a resumed run, whose record
    leaves out the steps that a kill undid."""


class EqualBudgetFacts(Part):
    """The budget that all trained runs have, and how near they come to it."""

    kind: BudgetKind
    """What is counted."""
    steps: int | None = None
    """Optimiser steps of a run; None: not by samples, or nothing was trained."""
    samples: int | None = None
    """Training samples of a run; None as above."""
    amount: float | None = None
    """Seconds or FLOPs of a run; None: by samples."""
    largest_shortfall: float | None = None
    """Largest share of the amount that a run left over; None: by samples."""


class ComparedRun(Part):
    """One run of the comparison; its numbers are in its own record."""

    run_id: str
    """Identity of the run."""
    branch: str
    """Variant."""
    seed: int
    """Seed."""
    status: Status
    """Finished or failed; a failed run is not left out."""
    error: str | None
    """Why it failed."""
    folder: str
    """Its folder, relative to the comparison's own where that is possible."""
    command: str
    """The command that repeats it."""
    finished_at: str
    """UTC time it ended."""
    steps: int
    """Optimiser steps done."""
    samples: int
    """Training samples seen."""
    budget: SpentBudget
    """What it was allowed to spend and what it spent, by the kind of budget."""
    seconds: dict[str, float]
    """Seconds by phase."""
    device: str | None
    """What computed it."""
    peak_memory_bytes: int | None
    """Largest memory it held."""
    parameters: dict[str, int]
    """Trainable parameters by group."""
    test_openings: int
    """How often it read the test split."""
    guards_passed: list[str]
    """Checks it passed."""
    notices: list[str]
    """What went wrong in it and was repaired."""
    record_sha256: str | None = None
    """SHA-256 of its `record.json` as it was compared; None in a comparison of before it was
    kept."""


class Eligibility(Part):
    """What all runs share, and so may be compared; differences that were allowed are named."""

    split_hash: str
    """Hash of the split."""
    split_counts: dict[str, dict[str, int]]
    """Clips per class and part."""
    excluded: dict[str, int]
    """Files left out, by reason."""
    num_input: int | None
    """Files looked at; None for a split given as a lock file."""
    settings: dict[str, Any]
    """The settings that are equal in all runs."""
    settings_hash: str
    """SHA-256 of them."""
    models: dict[str, str]
    """Hash of each frozen model and scorer that all branches use."""
    variant_models: dict[str, dict[str, str]]
    """Hash of each pretrained part that only some branches load."""
    code: dict[str, str]
    """Hash of the shared code by part."""
    variant_code: dict[str, str]
    """Hash of each branch's own code."""
    variant_config: dict[str, dict[str, Any]]
    """Each branch's own settings."""
    environment: dict[str, str]
    """Library versions, data types and devices that all runs share."""
    mixed_environment: dict[str, dict[str, list[str]]]
    """Field, then value, then run ids, of what was allowed to differ; empty: nothing does."""
    guards_passed: list[str]
    """Checks that every finished run passed."""
    budget: EqualBudgetFacts
    """Kind of the equal budget, its amount, and the largest relative deviation from it."""


class PowerRow(Part):
    """What a number of seeds can find."""

    num_seeds: int
    """Seeds of each branch."""
    win_sd: float | None
    """Smallest true difference, in paired seed standard deviations, that is called a win in 80 %
    of cases: one pair, by the whole rule over all pairs; None below 6 seeds."""
    headline_sd: float | None = None
    """The same for one branch that wins against every other one."""
    tie_sd: float | None = None
    """Smallest margin, in paired seed standard deviations, within which branches that are all equal
    are called a tie in 80 % of cases; None below 6 seeds."""
    detectable_sd: float | None = None
    """Only in records of before the present rule: what one paired t-test at alpha finds."""
    detectable_sd_all_pairs: float | None = None
    """Likewise, at alpha over the number of pairs."""
    detectable: dict[str, float]
    """`first - second` to the smallest difference in the metric's unit, with the sd seen here."""
    can_win: bool
    """Whether this many seeds allow a win at all."""


class ComparisonRecord(Part):
    """A comparison whole: every number of it, and where each comes from."""

    schema_version: Literal[1] = SCHEMA_VERSION
    """Format of this record."""
    name: str
    """Name of its folder under results/reports."""
    created_at: str
    """UTC time, ISO 8601."""
    command: str
    """The command that makes it again."""
    profile: str
    """Name of the runs' profile."""
    metric: str
    """The one metric the verdict rests on."""
    higher_is_better: bool
    """Its direction."""
    alpha: float
    """Stated level of every test."""
    verdict: str
    """One sentence."""
    outcome: Outcome
    """Win: one branch wins against every other. Tie: every pair ties. Undecided: anything else."""
    winner: str | None
    """The branch that wins against every other one."""
    strength: Strength
    """How much weight the outcome bears."""
    claim: str
    """What that strength means, in one sentence."""
    branches: list[str]
    """In the order they were asked for."""
    seeds: list[int]
    """Seeds of the finished runs."""
    pairs: list[PairResult]
    """Every pair on the primary metric; empty where a run failed or has no value."""
    secondary: list[PairResult]
    """Every pair on every other metric that all runs have."""
    metrics: list[MetricRow]
    """The table of all metrics, the primary one first."""
    runs: list[ComparedRun]
    """Every run, the failed ones too, by seed and branch."""
    failed: list[str]
    """Ids of the runs that failed."""
    eligibility: Eligibility
    """Why these runs may be compared."""
    power: list[PowerRow]
    """What other numbers of seeds would find."""
    tuning: dict[str, Tuning] = Field(default_factory=dict)
    """By branch, how its settings were found; a branch that is not named
    was tuned by nobody who says so."""
    notices: list[str] = Field(default_factory=list)
    """What a reader must know beside the numbers."""
    population: Population = Population.THESE_CLIPS
    """What the outcome speaks of, beyond the trainings that were made."""
    trainings: Trainings | None = None
    """How the trainings are distributed; None where the metric was not tested."""
    looks: Looks = Looks()
    """How often the question was looked at."""
    to_add: ToAdd | None = None
    """What would decide an undecided comparison."""
    listening: list[Listening] = Field(default_factory=list)
    """Who conditions on its sound, by branch; empty where no run was given mismatched sounds."""
    near_real: list[NearReal] = Field(default_factory=list)
    """Whether branches are shown to equal real pictures within a margin, by each distance that has
    one; only these rows may say so."""
    certificates: list[Certificate] = Field(default_factory=list)
    """What the scorers were found to tell on this split; empty where nobody checked them."""
    basis: str | None = None
    """Hash of all that this record follows from (`harness.comparison.stored`): asked again, it is
    made again only where that has changed."""

    @property
    def lost_branches(self) -> list[str]:
        """Branches of which not one run finished."""
        alive = {run.branch for run in self.runs if run.run_id not in self.failed}
        return [name for name in self.branches if name not in alive]

    def save(self, folder: Path) -> Path:
        """Write `comparison.json` into the comparison's folder, whole or not at all."""
        path = ReportFolder(folder).comparison
        write_atomic(path, content=(self.model_dump_json(indent=2) + "\n").encode())
        return path

    def run_folder(self, run: ComparedRun, *, folder: Path) -> Path:
        """Where a run lies, for the comparison in `folder`."""
        return Path(os.path.normpath(folder / run.folder))

    def row(self, metric: str) -> MetricRow:
        """The row of a metric. Raises: KeyError without one."""
        for row in self.metrics:
            if row.metric == metric:
                return row
        raise KeyError(metric)


def load_comparison(path: Path) -> ComparisonRecord:
    """The comparison in a file or folder.

    Raises:
        DataError: it is missing or not a comparison of this format.
    """
    if path.is_dir():
        path = ReportFolder(path).comparison
    try:
        return ComparisonRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"no comparison at {path} ({error.strerror})") from None
    except ValidationError as error:
        raise DataError(
            f"{path} is not a comparison of format {SCHEMA_VERSION}: {first_fault(error)}; "
            "compare the runs again"
        ) from None
