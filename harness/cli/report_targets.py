"""Which reports a user's words ask for."""

from collections.abc import Sequence
from pathlib import Path

from core.errors import UsageError
from harness.comparison.runs import load_runs
from harness.records.names import named_comparison, named_sweep
from harness.report.comparison.write import write_runs_report
from harness.report.draw import write_report
from harness.report.page.page import Written
from harness.votes.record import VotesRecord


def write_reports(targets: Sequence[str], *, results: Path, max_bytes: int) -> list[Written]:
    """A report for each comparison and sweep among `targets`, then one for all runs among them.

    A comparison is a folder, its `comparison.json`, or the (start of the) name of a folder in
    `results/reports`; a sweep the same with `sweep.json` in `results/sweeps`; anything else is a
    run.

    Raises:
        UsageError: a name that fits no run, or several comparisons or sweeps.
        DataError: a record that cannot be read.
        NoSpaceError: the disk is full.
    """
    comparisons: list[Path] = []
    sweeps: list[Path] = []
    names: list[str] = []
    for target in targets:
        if (folder := named_comparison(target, results=results)) is not None:
            comparisons.append(folder)
        elif (folder := named_sweep(target, results=results)) is not None:
            sweeps.append(folder)
        else:
            names.append(target)
    runs = load_runs(names, results=results)  # before anything is written
    folders = dict.fromkeys([*comparisons, *sweeps])
    written = [write_report(folder, max_bytes=max_bytes) for folder in folders]
    if runs:
        written.append(write_runs_report(runs, results=results, max_bytes=max_bytes))
    return written


def scored_votes(target: str, *, files: Sequence[Path], results: Path) -> VotesRecord:
    """The votes on the comparison that `target` names, scored and kept with it.

    Raises:
        UsageError: it names no comparison.
        DataError: a file that is no vote file.
        MismatchError: files on something else.
    """
    from harness.votes.of_comparison import score_comparison

    folder = named_comparison(target, results=results)
    if folder is None:
        raise UsageError(
            f"--votes scores one comparison, and '{target}' names none; write harness report "
            "COMPARISON --votes FILE..."
        )
    return score_comparison(folder, paths=files)
