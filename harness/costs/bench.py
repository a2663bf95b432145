"""What `make gpu-check` and `harness plan --measure` measured on named machines, as it ships."""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, ConfigDict

MEASURED_FOLDERS = (
    Path(str(files("harness.costs"))) / "measured",  # in a wheel, see pyproject.toml
    Path(str(files("harness.costs"))).parents[1] / "benchmarks" / "results",
)


class BranchBench(BaseModel):
    """One branch on one machine."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    stage1_ms: float | None = None
    """Milliseconds of an optimiser step."""
    stage2_ms: float | None = None
    """Likewise."""
    stage3_ms: float | None = None
    """Likewise."""
    memory_gib: float | None = None
    """Most that tensors held."""
    images_per_s: float | None = None
    """Sampled and decoded: 20 solver steps, three passes."""

    @property
    def is_measured(self) -> bool:
        """False for a branch that failed there."""
        return self.stage1_ms is not None

    def step_seconds(self, stage: str) -> float | None:
        """Of an optimiser step of a stage; None where it was not measured."""
        found: float | None = getattr(self, f"{stage}_ms", None)
        return None if found is None else found / 1000


class Bench(BaseModel):
    """One machine on one day, at the size of SD v1.5 in bfloat16."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    card: str
    """As the driver calls it."""
    date: str
    """ISO 8601."""
    torch: str
    """Version."""
    batch: int
    """Samples of a step, in one micro-batch."""
    sd15: dict[str, BranchBench]
    """By branch."""


SAMPLED_STEPS = 20
SAMPLED_PASSES = 3


@cache
def newest_bench() -> Bench | None:
    """The newest measurement of a GPU that ships; None where none does.

    A branch that it lacks is taken from the newest one of the same card that has it.
    """
    for folder in MEASURED_FOLDERS:
        found = [Bench.model_validate_json(p.read_bytes()) for p in folder.glob("gpu-*.json")]
        if found:
            return joined(found)
    return None


def joined(benches: Sequence[Bench]) -> Bench:
    """The newest of these, with the branches that only older ones of its card have."""
    *older, newest = sorted(benches, key=lambda bench: bench.date)
    branches: dict[str, BranchBench] = {}
    for bench in [*(b for b in older if b.card == newest.card), newest]:
        branches |= {name: row for name, row in bench.sd15.items() if row.is_measured}
    return newest.model_copy(update={"sd15": branches})
