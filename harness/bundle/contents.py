"""What is in a bundle, and where.

    SHA256SUMS                    every other file's hash
    bundle.json                   what was asked of the runs; see `BundleFacts`
    looks.json                    earlier comparisons of some of these runs
    lock_of_split.json            the lock of the split, without its media
    results/reports/NAME/         the comparison and its report, as they were
    results/runs/RUN_ID/          of each run: its record, its scores clip by clip

The images, the weights and the log of each step are not in it: the records name their hashes.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from core.code import code_hash
from core.errors import DataError
from harness.records.folders import ResultsFolder
from harness.wording.faults import first_fault

FORMAT: Literal[1] = 1
FACTS = "bundle.json"
LOOKS = "looks.json"
LOCK = "lock_of_split.json"
RESULTS = "results"


class BundleFacts(BaseModel):
    """What was asked of the runs: with them, it decides every number of the comparison."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal[1] = FORMAT
    """Format of the bundle."""
    made_by: str
    """Version of the harness that made it."""
    code: str
    """Hash of the code that decided and worded the comparison."""
    comparison: str
    """Name of the comparison."""
    metric: str
    """The one metric the verdict rests on."""
    margins: dict[str, float]
    """By metric, differences too small to matter; a metric that is not named has none."""
    planned_looks: list[int]
    """Numbers of seeds at which it was planned to decide."""
    allow_mixed_environment: bool
    """Whether library versions and devices were allowed to differ."""
    notices: list[str]
    """What the comparison says that does not follow from the runs: what lay beside them, and when
    it was asked."""


def deciding_code() -> str:
    """Hash of the sources that decide a comparison and word what it says."""
    harness = Path(__file__).parents[1]
    rooms = ("comparison", "metrics", "report", "statistics", "votes", "wording")
    return code_hash([harness / room for room in rooms])


def load_facts(root: Path) -> BundleFacts:
    """The facts of an unpacked bundle. Raises: DataError where it is not one."""
    path = root / FACTS
    try:
        return BundleFacts.model_validate_json(path.read_bytes())
    except OSError:
        raise DataError(f"it holds no {FACTS}, so it is not a bundle of `harness bundle`") from None
    except ValidationError as error:
        raise DataError(f"its {FACTS} is not of format {FORMAT}: {first_fault(error)}") from None


def results_of(root: Path) -> ResultsFolder:
    """The results folder in an unpacked bundle."""
    return ResultsFolder(root / RESULTS)
