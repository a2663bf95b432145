"""Whether the files of a finished run are still what it wrote."""

from pathlib import Path

from core.errors import MismatchError
from core.files import file_sha256
from harness.records.folders import CONTRIBUTIONS, NEAREST, PER_CLIP, RunFolder
from harness.records.record import RunRecord


def file_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of the files of a run that are read after it ended, by path in its folder."""
    run = RunFolder(folder)
    tables = [run.per_clip, run.contributions, run.nearest]
    paths = [run.weights, *tables, run.events, *sorted(run.images.rglob("*.png"))]
    return {
        path.relative_to(folder).as_posix(): file_sha256(path) for path in paths if path.is_file()
    }


def require_unaltered(record: RunRecord, folder: Path, *, with_weights: bool = False) -> None:
    """Return if no file that the record names has other bytes now; a missing file is not altered.

    with_weights: read the weights too, which are large and decide no number any more.

    Raises:
        MismatchError: one has; names it.
    """
    for name, expected in record.files.items():
        path = folder / name
        is_skipped = path == RunFolder(folder).weights and not with_weights
        if is_skipped or not path.is_file() or file_sha256(path) == expected:
            continue
        remedy = "put the file back"
        if name in (PER_CLIP, CONTRIBUTIONS, NEAREST):
            remedy = "delete record.json beside it and run again, which scores again"
        raise MismatchError(
            f"{path} is not as the run {record.run_id} wrote it (its SHA-256 is not the record's); "
            f"{remedy}: {record.command}"
        )
