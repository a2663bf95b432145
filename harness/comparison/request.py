"""What is asked of a comparison, and the runs that it takes."""

from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import UsageError
from harness.metrics.registry import metric as declared
from harness.planning import PlannedRun, RunRequest, plan_run
from harness.progress import Display
from harness.statistics import MIN_SEEDS_FOR_A_WIN, detectable_effect


@dataclass(frozen=True)
class CompareRequest:
    """What to compare: `num_seeds` runs of each branch, equal in everything else."""

    variants: tuple[str, ...]
    num_seeds: int
    profile: str
    overrides: tuple[str, ...]
    data: str | None
    results: Path
    metric: str = "listening_rank"
    jobs: int = 0


def plan_matrix(request: CompareRequest, *, display: Display) -> list[PlannedRun]:
    """Every run of the matrix, planned.

    Raises:
        UsageError: fewer than two branches, one named twice, an unknown metric.
    """
    if len(request.variants) < 2:
        raise UsageError(
            f"{len(request.variants)} branches to compare; name at least two, like --variants "
            "baseline,sonic"
        )
    doubled = sorted({name for name in request.variants if request.variants.count(name) > 1})
    if doubled:
        raise UsageError(f"{', '.join(doubled)} is named twice; a branch enters once")
    declared(request.metric)
    base = RunRequest(
        request.variants[0],
        request.profile,
        0,
        request.overrides,
        request.data,
        request.results,
    )
    # Seed by seed, so that an interrupted comparison has whole pairs.
    return [
        plan_run(replace(base, variant=variant, seed=seed), display=display)
        for seed in range(request.num_seeds)
        for variant in request.variants
    ]


def power_sentence(num_seeds: int) -> str:
    """What this many seeds can find."""
    if num_seeds < 2:
        return "One seed cannot tell branches apart: there is no difference to pair it with."
    sentence = (
        f"{num_seeds} seeds find a difference of {detectable_effect(num_seeds):.2f} paired seed "
        "standard deviations in 80 % of cases"
    )
    if num_seeds < MIN_SEEDS_FOR_A_WIN:
        sentence += f"; they are exploratory, a win needs {MIN_SEEDS_FOR_A_WIN}"
    return sentence + "."
