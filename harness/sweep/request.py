"""What is asked of a sweep."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import UsageError
from harness.branches.registry import registrations
from harness.executors.opening import ExecutorOptions
from harness.records.score_kind import Score
from harness.run.plan import RunRequest
from harness.sweep.record import Metric


@dataclass(frozen=True)
class SweepRequest:
    """What to search: the same number of trials for each branch, equal in everything else."""

    variants: tuple[str, ...]
    num_trials: int
    """Trials of each branch that have to end, however often the command is given."""
    metrics: tuple[Metric, ...]
    """What is searched for; the first decides what is best."""
    score: Score
    """What trials compute for it."""
    profile: str
    seed: int
    """Seed of the search and of every trial's training."""
    overrides: tuple[str, ...]
    data: str | None
    results: Path
    executor: ExecutorOptions
    storage: str | None = None
    """URL of the study; None: a journal file in the sweep's folder."""
    name: str | None = None
    """Name of the folder under results/sweeps; None: made from what is searched."""
    test_seeds: int = 0
    """Seeds with which the best and the defaults are scored on the test clips afterwards."""
    device: str | None = None
    """As `RunRequest.device`."""

    @property
    def seeds_of_tests(self) -> list[int]:
        """From 0 on, without the search's own: its luck is part of why the best was chosen."""
        return [seed for seed in range(self.test_seeds + 1) if seed != self.seed][: self.test_seeds]

    def run(self, variant: str) -> RunRequest:
        """The branch as the profile has it, as a trial."""
        return RunRequest(
            variant,
            profile=self.profile,
            seed=self.seed,
            overrides=self.overrides,
            data=self.data,
            results=self.results,
            score=self.score,
            device=self.device,
        )

    def command(self, *, storage: str | None) -> str:
        """The command line that goes on with it. storage: without a password."""
        words = ["harness", "sweep", "--variants", ",".join(self.variants)]
        words += ["--trials", str(self.num_trials), "--profile", self.profile]
        words += ["--metric", ",".join(metric.name for metric in self.metrics)]
        words += ["--seed", str(self.seed)]
        if self.device is not None:
            words += ["--device", self.device]
        for item in of_a_branch(self.overrides):
            words += ["--set", item]
        for option, value in (("--storage", storage), ("--name", self.name)):
            if value is not None:
                words += [option, value]
        if self.test_seeds:
            words += ["--test-seeds", str(self.test_seeds)]
        return shlex.join([*words, *self.shared_words])

    @property
    def shared_words(self) -> list[str]:
        """The words of a command line for what all trials share: settings, data, results."""
        words = [word for item in of_no_branch(self.overrides) for word in ("--set", item)]
        if self.data is not None:
            words += ["--data", self.data]
        return [*words, "--results", str(self.results)]


def of_a_branch(overrides: Sequence[str]) -> tuple[str, ...]:
    """Those that set what is a branch's own."""
    return tuple(o for o in overrides if o.strip().startswith(("variant.", "variants.")))


def of_no_branch(overrides: Sequence[str]) -> tuple[str, ...]:
    """Those that set what branches share."""
    own = of_a_branch(overrides)
    return tuple(o for o in overrides if o not in own)


def branch_names(variant: str | None, variants: str | None) -> tuple[str, ...]:
    """The branches of --variant or --variants; `all` is each that is not a control.

    Raises:
        UsageError: neither or both are given, or a branch is named twice.
    """
    if variant is not None and variants is not None:
        raise UsageError("--variant and --variants cannot be combined; drop one of them")
    if variant is None and variants is None:
        raise UsageError(
            "no branch was given; pass --variant sonic, --variants baseline,sonic or --variants all"
        )
    if variant is not None:
        return (variant,)
    names = [word.strip() for word in str(variants).split(",") if word.strip()]
    if names == ["all"]:
        names = [name for name, found in registrations().items() if not found.load().is_control]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled or not names:
        what = f"{', '.join(doubled)} is named twice" if doubled else "--variants is empty"
        raise UsageError(f"{what}; each branch is searched once")
    return tuple(names)
