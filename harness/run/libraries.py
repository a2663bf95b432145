"""Whether this installation can train, asked before any work: `pip install branch-harness` alone
reads results, and the extra `train` brings the rest."""

from importlib.util import find_spec
from pathlib import Path

from harness.records.folders import RECORD, ResultsFolder
from harness.records.score_kind import Score

FOR_TRAINING = ("torch", "diffusers", "transformers", "peft", "safetensors")
"""What the extra `train` installs, and what no command that reads results needs."""


def require_training_libraries() -> None:
    """Return if what trains and samples is installed; none of it is imported.

    Raises:
        ModuleNotFoundError: names the first that is not.
    """
    for name in FOR_TRAINING:
        try:
            is_there = find_spec(name) is not None
        except ModuleNotFoundError:
            is_there = False
        if not is_there:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def may_be_finished(results: Path, *, variant: str, seed: int, score: Score = Score.TEST) -> bool:
    """Whether a run of this branch and seed has ended below `results`, whatever its settings.

    Which run is asked for is known once its data is read, which can take minutes.
    """
    runs = ResultsFolder(results).path / score.folder
    return any(runs.glob(f"{variant}-s{seed}-*/{RECORD}"))
