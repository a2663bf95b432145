"""What is asked of a comparison, and the runs that it takes."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path

from core.choices import BudgetKind
from core.errors import UsageError
from core.files import json_sha256
from harness.executors.opening import ExecutorOptions
from harness.metrics.registry import deciding_metric
from harness.records.names import require_folder_name
from harness.run.plan import PlannedRun, Planner, RunRequest
from harness.settings.load import load_profile, profile_names
from harness.settings.profile import ComparisonSettings
from harness.statistics.outcome import MAX_SEEDS, MIN_SEEDS_FOR_A_WIN
from harness.wording.display import Display


@dataclass(frozen=True)
class CompareOptions:
    """How a comparison decides and where it lies, whichever runs it takes."""

    results: Path
    """Folder of runs and reports."""
    _: KW_ONLY
    metric: str | None = None
    """What the verdict rests on; None: what the profile says."""
    margin: float | None = None
    """Differences on that metric within this tie; None: what the profile says."""
    name: str | None = None
    """Name of the folder under results/reports; None: made from the runs and the question."""
    allow_mixed_environment: bool = False
    """Whether library versions and devices may differ between runs; the record then says so."""
    looks: tuple[int, ...] = ()
    """Numbers of seeds at which it is planned to decide, this one among them; each is tested so
    that all together keep the level. Empty: this one alone."""

    def words(self) -> list[str]:
        """The options as words of a command line."""
        words = [] if self.metric is None else ["--metric", self.metric]
        if self.margin is not None:
            words += ["--margin", repr(self.margin)]
        if self.name is not None:
            words += ["--name", self.name]
        if self.allow_mixed_environment:
            words.append("--allow-mixed-environment")
        if self.looks:
            words += ["--looks", ",".join(map(str, self.looks))]
        return [*words, "--results", str(self.results)]


@dataclass(frozen=True)
class CompareRequest:
    """What to compare: `num_seeds` runs of each branch, equal in everything else."""

    variants: tuple[str, ...]
    _: KW_ONLY
    num_seeds: int
    profile: str
    overrides: tuple[str, ...]
    data: str | None
    options: CompareOptions
    executor: ExecutorOptions = field(default_factory=ExecutorOptions)
    """Where the runs are computed; no part of `command`, for it changes no number."""
    price_per_hour: float | None = None
    """Price of the machine per hour, for the forecast."""
    budget: BudgetKind = BudgetKind.SAMPLES
    """In what the branches' training is equal."""
    configs: Mapping[str, Path] = field(default_factory=dict)
    """By branch, the file of its settings (`harness.settings.branch_config`)."""
    device: str | None = None
    """As `RunRequest.device`."""
    max_hours: float | None = None
    """Hours of this machine, over all processes on the comparison, after which it stops."""
    max_cost: float | None = None
    """Likewise in dollars; requires the price."""

    @property
    def base(self) -> RunRequest:
        """The first branch's run of seed 0, as the profile has it; the others differ in branch,
        its config, seed and budget alone."""
        return RunRequest(
            self.variants[0],
            profile=self.profile,
            overrides=self.overrides,
            data=self.data,
            results=self.options.results,
            device=self.device,
        )

    @property
    def command(self) -> str:
        """The command line that asks for the same."""
        words = ["harness", "compare", "--variants", ",".join(self.variants)]
        words += ["--seeds", str(self.num_seeds), "--profile", self.profile]
        for path in self.configs.values():
            words += ["--config", str(path)]
        for item in self.overrides:
            words += ["--set", item]
        if self.data is not None:
            words += ["--data", self.data]
        if self.budget is not BudgetKind.SAMPLES:
            words += ["--budget", self.budget.value]
        if self.device is not None:
            words += ["--device", self.device]
        return shlex.join([*words, *self.options.words()])


@dataclass(frozen=True)
class Question:
    """What decides, settled before any run is made."""

    metric: str
    """The one metric the verdict rests on."""
    margins: dict[str, float] = field(default_factory=dict)
    """By metric, differences too small to matter."""


def settle_question(options: CompareOptions, *, settings: ComparisonSettings) -> Question:
    """The options on top of the profile's settings.

    Raises:
        UsageError: an unknown metric, a margin that is not above 0, or a name that is a path.
    """
    require_folder_name(options.name)
    metric = settings.metric if options.metric is None else options.metric
    deciding_metric(metric)
    for name in settings.margins:
        deciding_metric(name)
    margins: dict[str, float] = dict(settings.margins)
    if options.margin is not None:
        if not options.margin > 0:
            raise UsageError(f"--margin {options.margin:g}; expected more than 0, in {metric}")
        margins[metric] = options.margin
    return Question(metric, margins)


def comparison_name(run_ids: Sequence[str], *, metric: str, margins: Mapping[str, float]) -> str:
    """Name of a comparison's folder: the same runs and question, the same folder."""
    content = {"runs": sorted(run_ids), "metric": metric, "margins": dict(margins)}
    return f"compare-{json_sha256(content)[:12]}"


def settings_of_profile(
    name: str, *, overrides: Sequence[str], options: CompareOptions
) -> ComparisonSettings:
    """What the profile of existing runs says of comparisons.

    Raises:
        UsageError: the profile can no longer be read and no metric was named instead.
    """
    if name in profile_names() or Path(name).is_file():
        return load_profile(name, overrides=overrides).deciding
    if options.metric is None:
        raise UsageError(
            f"profile {name} of these runs cannot be found, so the primary metric is unknown; pass "
            "--metric"
        )
    return ComparisonSettings(metric=options.metric)


def plan_matrix(
    request: CompareRequest, *, budgets: Mapping[str, tuple[str, ...]], display: Display
) -> list[PlannedRun]:
    """Every run of the matrix, planned.

    budgets: by branch, the settings of its budget, where it is not counted in samples.

    Raises:
        UsageError: a branch, setting or profile that is not there.
    """
    requests = run_requests(request, budgets=budgets)
    planner = Planner(display)
    # Seed by seed, so that an interrupted comparison has whole pairs.
    return [
        planner.plan(replace(requests[variant], seed=seed))
        for seed in range(request.num_seeds)
        for variant in request.variants
    ]


def run_requests(
    request: CompareRequest, *, budgets: Mapping[str, tuple[str, ...]]
) -> dict[str, RunRequest]:
    """By branch, what is asked of its run of seed 0. budgets: as in `plan_matrix`."""
    return {
        variant: replace(
            request.base,
            variant=variant,
            config=request.configs.get(variant),
            overrides=(*request.overrides, *budgets.get(variant, ())),
        )
        for variant in request.variants
    }


def require_branches(variants: Sequence[str]) -> None:
    """Raises: UsageError for fewer than two branches, or one named twice."""
    if len(variants) < 2:
        raise UsageError(
            f"{', '.join(variants) or 'no branch'} is not a comparison; name at least two "
            "branches, such as --variants baseline,sonic"
        )
    doubled = sorted({name for name in variants if variants.count(name) > 1})
    if doubled:
        raise UsageError(f"{', '.join(doubled)} is named twice; name each branch once")


def planned_looks(text: str | None) -> tuple[int, ...]:
    """Numbers of seeds from a word like `6,8,10`; none without one.

    Raises:
        UsageError: it holds something else.
    """
    if text is None:
        return ()
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise UsageError(f"--looks {text}; expected numbers of seeds like 6,8,10") from None


def require_look(looks: Sequence[int], *, num_seeds: int) -> None:
    """Raises: UsageError for looks that do not rise from 6 on, or none at this many seeds."""
    if not looks:
        return
    listed = ",".join(map(str, looks))
    if list(looks) != sorted(set(looks)) or not MIN_SEEDS_FOR_A_WIN <= looks[0] <= looks[-1]:
        raise UsageError(
            f"--looks {listed}; expected rising numbers of seeds from {MIN_SEEDS_FOR_A_WIN} on, "
            "like 6,8,10: no win is possible with fewer"
        )
    if looks[-1] > MAX_SEEDS:
        raise UsageError(f"--looks {listed}; a comparison takes at most {MAX_SEEDS} seeds")
    if num_seeds not in looks:
        raise UsageError(
            f"--looks {listed} plans no look at {num_seeds} seeds; ask for one of those numbers "
            "with --seeds"
        )


def margins_text(margins: Mapping[str, float], metric: str) -> str:
    """What counts as a tie, in a sentence."""
    margin = margins.get(metric)
    if margin is None:
        return f"No margin is set for {metric}, so no tie can be claimed."
    return f"Branches within {margin:g} on {metric} tie."
