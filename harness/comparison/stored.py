"""A comparison that was made before, where nothing that it follows from has changed since.

Light to import: whoever asks again waits for no library that computes.
"""

import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from core.code import code_hash, package_folder
from core.errors import DataError
from core.files import file_sha256, json_sha256
from harness.comparison.evidence import Looks
from harness.comparison.record import ComparisonRecord, load_comparison
from harness.comparison.request import Question
from harness.comparison.runs import LoadedRun
from harness.metrics.registry import foreign_sources
from harness.records.certificate import Certificate
from harness.records.folders import ReportFolder, RunFolder
from harness.records.record import Status
from harness.records.unaltered import require_unaltered
from harness.settings.branch_config import Tuning

_LIBRARIES = ("numpy", "scipy", "pandas")
"""Whose arithmetic a comparison is."""


def basis_of(
    runs: Sequence[LoadedRun],
    *,
    question: Question,
    folder: Path,
    allow_mixed_environment: bool,
    notices: Sequence[str],
    looks: Looks,
    tuning: Mapping[str, Tuning],
    certificates: Sequence[Certificate],
) -> str:
    """Hash of everything that a comparison of these runs in this folder follows from."""
    return json_sha256(
        {
            "runs": [
                [os.path.relpath(run.folder, folder), file_sha256(RunFolder(run.folder).record)]
                for run in runs
            ],
            "metric": question.metric,
            "margins": question.margins,
            "allow_mixed_environment": allow_mixed_environment,
            "notices": list(notices),
            "looks": looks.model_dump(mode="json"),
            "tuning": {name: one.model_dump(mode="json") for name, one in tuning.items()},
            "certificates": [one.model_dump(mode="json") for one in certificates],
            "code": code_hash([package_folder("harness"), *foreign_sources()]),
            "libraries": {name: version(name) for name in _LIBRARIES},
        }
    )


def stored_comparison(
    folder: Path, *, basis: str, runs: Sequence[LoadedRun]
) -> ComparisonRecord | None:
    """The record in the folder if it follows from `basis`; None where it has to be made.

    Raises:
        MismatchError: a file of a run is no longer what the run wrote.
    """
    if not ReportFolder(folder).comparison.is_file():
        return None
    try:
        record = load_comparison(folder)
    except DataError:  # damaged, or of another format: it is made again
        return None
    if record.basis != basis:
        return None
    finished = [run for run in runs if run.record.status is Status.FINISHED]
    if not all(RunFolder(run.folder).per_clip.is_file() for run in finished):
        return None
    for run in finished:
        require_unaltered(run.record, run.folder)
    return record
