"""Two runs that may be compared."""

import shutil
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def two_runs(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The one real run, and a copy of it as another branch, in a place of their own."""
    folders = []
    for name in ("one", "other"):
        folder = tmp_path_factory.mktemp("elsewhere") / name
        shutil.copytree(finished.folder, folder, ignore=shutil.ignore_patterns("checkpoints"))
        record = finished.record
        if name == "other":
            identity = record.identity.model_copy(update={"variant": "sonic"})
            record = record.model_copy(update={"identity": identity, "run_id": identity.run_id})
            record.save(folder)
        folders.append(folder)
    return folders[0], folders[1]
