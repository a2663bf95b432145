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


def write_reports(
    targets: Sequence[str], *, results: Path, max_bytes: int, out: Path | None = None
) -> list[Written]:
    """A report for each comparison and sweep among `targets`, then one for all runs among them.

    A comparison is a folder, its `comparison.json`, or the (start of the) name of a folder in
    `results/reports`; a sweep the same with `sweep.json` in `results/sweeps`; anything else is a
    run.

    out: folder of the report, or of a folder for each where there are several; nothing else is
    written then. None: each beside its numbers.

    Raises:
        UsageError: a name that fits no run, or several comparisons or sweeps; `out` is a file.
        DataError: a record that cannot be read.
        NoSpaceError: the disk is full.
    """
    if out is not None and out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; name a folder")
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
    folders = list(dict.fromkeys([*comparisons, *sweeps]))
    places = _places(folders, with_runs=bool(runs), out=out)
    written = [
        write_report(folder, out=place, max_bytes=max_bytes)
        for folder, place in zip(folders, places, strict=False)
    ]
    if runs:
        place = None if out is None else places[-1]
        written.append(write_runs_report(runs, results=results, out=place, max_bytes=max_bytes))
    return written


def scored_votes(
    target: str, *, files: Sequence[Path], results: Path, decides: bool = False
) -> VotesRecord:
    """The votes on the comparison that `target` names, scored and kept with it.

    decides: the verdict rests on them even where their plan does not say so.

    Raises:
        UsageError: it names no comparison.
        DataError: a file that is not a vote file.
        MismatchError: files on something else.
    """
    from harness.votes.of_comparison import score_comparison

    folder = named_comparison(target, results=results)
    if folder is None:
        raise UsageError(
            f"--votes scores one comparison, and '{target}' names none; write harness report "
            "COMPARISON --votes FILE..."
        )
    return score_comparison(folder, paths=files, decides=decides)


def _places(folders: Sequence[Path], *, with_runs: bool, out: Path | None) -> Sequence[Path | None]:
    """Where each report goes: `out` for a single one, a folder in it for each of several."""
    names = [folder.resolve().name for folder in folders] + (["runs"] if with_runs else [])
    if out is None:
        return [None] * len(names)
    if len(names) == 1:
        return [out]
    return [
        out / (name if names.count(name) == 1 else f"{name}-{place}")
        for place, name in enumerate(names, start=1)
    ]
