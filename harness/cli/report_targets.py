"""Which reports a user's words ask for."""

from collections.abc import Sequence
from pathlib import Path

from harness.comparison.runs import load_runs
from harness.records.names import named_comparison, named_sweep
from harness.report.comparison.write import Written, write_comparison_report, write_runs_report
from harness.report.sweep.write import WrittenSweep, write_sweep_report


def write_reports(
    targets: Sequence[str], *, results: Path, max_bytes: int
) -> list[Written | WrittenSweep]:
    """A report for each comparison and sweep among `targets`, then one for all runs among them.

    A comparison is a folder, its `comparison.json`, or the (start of the) name of a folder in
    `results/reports`; a sweep the same with `sweep.json` in `results/sweeps`; anything else is a
    run.

    Raises:
        UsageError: a name that fits no run, or several comparisons or sweeps.
        DataError: a record that cannot be read.
        NoSpaceError: the disk is full.
    """
    folders: list[Path] = []
    sweeps: list[Path] = []
    names: list[str] = []
    for target in targets:
        folder = named_comparison(target, results=results)
        sweep = named_sweep(target, results=results) if folder is None else None
        if folder is None and sweep is None:
            names.append(target)
        elif folder is not None and folder not in folders:
            folders.append(folder)
        elif sweep is not None and sweep not in sweeps:
            sweeps.append(sweep)
    runs = load_runs(names, results=results)  # before anything is written
    written: list[Written | WrittenSweep] = [
        write_comparison_report(folder, max_bytes=max_bytes) for folder in folders
    ]
    written += [write_sweep_report(folder) for folder in sweeps]
    if runs:
        written.append(write_runs_report(runs, results=results, max_bytes=max_bytes))
    return written
