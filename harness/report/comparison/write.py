"""What is on the page of a comparison, or of runs side by side, and the tables beside it."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from core.errors import DataError
from core.files import write_atomic
from harness.comparison.record import load_comparison
from harness.comparison.runs import LoadedRun, load_run
from harness.records.folders import ReportFolder, ResultsFolder
from harness.report.comparison.export import CSV, PARQUET, save_numbers
from harness.report.comparison.facts import Facts, ReportRun
from harness.report.comparison.sections import sections
from harness.report.comparison.sections.verdict import chips, headline, tone
from harness.report.page.content import Head
from harness.report.page.media import MediaStore
from harness.report.page.page import MAX_BYTES, Page, Written
from harness.report.page.render import markdown
from harness.wording.numbers import plain


def write_comparison_report(
    folder: Path, *, out: Path | None = None, max_bytes: int = MAX_BYTES
) -> Written:
    """Write the report of the comparison in `folder`; a run that is gone is named as such.

    out: where it is written; None: beside the comparison.

    Raises:
        DataError: there is no comparison in the folder.
        NoSpaceError: the disk is full.
    """
    comparison = load_comparison(folder)
    runs, absent = [], {}
    for run in comparison.runs:
        try:
            runs.append(ReportRun(load_run(comparison.run_folder(run, folder=folder))))
        except DataError as error:
            absent[run.run_id] = str(error)
    facts = Facts(
        name=comparison.name,
        folder=folder if out is None else out,
        source=folder,
        runs=tuple(runs),
        comparison=comparison,
        absent=absent,
        rows=comparison.metrics,
    )
    return _write(facts, source=folder, max_bytes=max_bytes)


def comparison_text(facts: Facts) -> str:
    """The Markdown twin of a comparison's report, which nothing is written for."""
    sheet = ReportFolder(facts.folder).contact_sheet
    return markdown(
        _head(facts),
        content=sections(facts, media=MediaStore()),
        sheet=sheet.name if sheet.is_file() else None,
    )


def write_runs_report(
    runs: Sequence[LoadedRun],
    *,
    results: Path,
    out: Path | None = None,
    max_bytes: int = MAX_BYTES,
) -> Written:
    """Write a report of runs side by side, without a verdict.

    out: where it is written; None: below `results/reports`.

    Raises:
        NoSpaceError: the disk is full.
    """
    from harness.comparison.tables import metric_rows

    unique = {run.record.run_id: run for run in runs}
    ids = sorted(unique)
    if len(ids) == 1:
        name = f"run-{ids[0]}"
    else:
        name = f"runs-{hashlib.sha256(' '.join(ids).encode()).hexdigest()[:12]}"
    found = tuple(ReportRun(run) for run in unique.values())
    folder = ResultsFolder(results).report(name).path if out is None else out
    bare = Facts(name=name, folder=folder, runs=found)
    primary = bare.primary.name if bare.primary is not None else None
    rows = metric_rows(
        [run.record for run in bare.finished], branches=bare.branches, primary=primary
    )
    facts = Facts(name=name, folder=bare.folder, runs=found, rows=rows)
    return _write(facts, source=facts.folder, max_bytes=max_bytes)


def _write(facts: Facts, *, source: Path, max_bytes: int) -> Written:
    """source: the folder that holds the record and the contact sheet."""
    media = MediaStore()
    folder = ReportFolder(source)
    page = Page(
        head=_head(facts),
        sections=sections(facts, media=media),
        media=media,
        sheet=folder.contact_sheet.name if folder.contact_sheet.is_file() else None,
    )
    csv, parquet = save_numbers(facts)
    beside = ReportFolder(facts.folder).contact_sheet
    if page.sheet is not None and beside.resolve() != folder.contact_sheet.resolve():
        write_atomic(beside, content=folder.contact_sheet.read_bytes())
    return page.write(
        facts.folder,
        files={
            "numbers_csv": csv,
            "numbers_parquet": parquet,
            "comparison": folder.comparison if folder.comparison.is_file() else None,
        },
        counts={"num_runs": len(facts.runs)},
        max_bytes=max_bytes,
    )


def _head(facts: Facts) -> Head:
    profiles = sorted({run.record.identity.profile for run in facts.runs})
    finished = sorted(run.record.finished_at for run in facts.runs)
    return Head(
        title=plain(facts.name),
        headline=headline(facts),
        tone=tone(facts),
        chips=chips(facts),
        kicker=(
            f"profile {', '.join(plain(name) for name in profiles)}" if profiles else "",
            f"last run finished {plain(finished[-1][:10])}" if finished else "",
        ),
        branches=tuple(plain(branch) for branch in facts.branches),
        files=(CSV, PARQUET),
        source="the records of the runs",
    )
