"""The runs that a comparison makes, written down when it starts: who watches it reads them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from core.errors import DataError
from core.files import write_atomic
from harness.records.folders import ReportFolder
from harness.records.parts import Part

if TYPE_CHECKING:
    from harness.run.plan import PlannedRun


class MatrixRun(Part):
    """One of its runs."""

    run_id: str
    """Name of its folder below `results/runs`."""
    variant: str
    """The branch."""
    seed: int
    """Of training and sampling."""


class Matrix(Part):
    """Every run of a comparison, in the order in which they are made."""

    command: str
    """The command that makes them."""
    metric: str
    """What decides."""
    runs: list[MatrixRun]
    """In their order."""


def note_matrix(
    folder: Path, planned: "Sequence[PlannedRun]", *, command: str, metric: str
) -> None:
    """Write down the runs of a comparison in its folder."""
    runs = [
        MatrixRun(run_id=run.identity.run_id, variant=run.identity.variant, seed=run.identity.seed)
        for run in planned
    ]
    content = Matrix(command=command, metric=metric, runs=runs).model_dump_json(indent=2) + "\n"
    write_atomic(ReportFolder(folder).matrix, content=content.encode())


def load_matrix(folder: Path) -> Matrix:
    """The runs of the comparison in a folder.

    Raises:
        DataError: they are not written down there, or the file is damaged.
    """
    path = ReportFolder(folder).matrix
    try:
        return Matrix.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"no matrix at {path} ({error.strerror})") from None
    except ValidationError:
        raise DataError(
            f"{path} is damaged; delete it, and the comparison's command writes it again"
        ) from None
