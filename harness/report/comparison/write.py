"""Writes a report: read the facts, draw the sections, save the page and its companions."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from harness.report.page.render import encoded, html, markdown
from harness.wording.numbers import plain

PAGE = "index.html"
TWIN = "report.md"
MAX_BYTES = 20_000_000
"""Largest page with everything inside it; a larger one keeps sounds and pictures beside it."""


@dataclass(frozen=True)
class Written:
    """A report on disk."""

    page: Path
    """The HTML page."""
    twin: Path
    """Its Markdown twin."""
    csv: Path
    """Every number."""
    parquet: Path
    """The same."""
    verdict: str
    """The one sentence."""
    is_self_contained: bool
    """Whether the page holds its sounds and pictures."""
    num_runs: int
    """Runs it reports."""

    def data(self) -> dict[str, Any]:
        """For scripts."""
        comparison = ReportFolder(self.page.parent).comparison
        return {
            "report": str(self.page),
            "markdown": str(self.twin),
            "numbers_csv": str(self.csv),
            "numbers_parquet": str(self.parquet),
            "comparison": str(comparison) if comparison.is_file() else None,
            "verdict": self.verdict,
            "is_self_contained": self.is_self_contained,
            "num_runs": self.num_runs,
            "size_bytes": self.page.stat().st_size,
        }


def write_report(folder: Path, *, max_bytes: int = MAX_BYTES) -> Path:
    """Write the report of the comparison in `folder` beside it and return the page's path.

    Raises:
        DataError: there is no comparison in the folder.
        NoSpaceError: the disk is full.
    """
    return write_comparison_report(folder, max_bytes=max_bytes).page


def write_comparison_report(folder: Path, *, max_bytes: int = MAX_BYTES) -> Written:
    """The same, with all paths. A run that is gone is named as such.

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
        folder=folder,
        runs=tuple(runs),
        comparison=comparison,
        absent=absent,
        rows=comparison.metrics,
    )
    return _write(facts, max_bytes=max_bytes)


def write_runs_report(
    runs: Sequence[LoadedRun], *, results: Path, max_bytes: int = MAX_BYTES
) -> Written:
    """Write a report of runs side by side, without a verdict, below `results/reports`.

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
    bare = Facts(name=name, folder=ResultsFolder(results).report(name).path, runs=found)
    primary = bare.primary.name if bare.primary is not None else None
    rows = metric_rows(
        [run.record for run in bare.finished], branches=bare.branches, primary=primary
    )
    facts = Facts(name=name, folder=bare.folder, runs=found, rows=rows)
    return _write(facts, max_bytes=max_bytes)


def _write(facts: Facts, *, max_bytes: int) -> Written:
    media = MediaStore()
    content = list(sections(facts, media=media))
    head = _head(facts)
    page = encoded(html(head, content=content, media=media))
    if len(page) > max_bytes:
        media.is_embedded = False
        page = encoded(html(head, content=content, media=media))
    media.save(facts.folder)
    csv, parquet = save_numbers(facts)
    drawn = ReportFolder(facts.folder).contact_sheet
    sheet = drawn.name if drawn.is_file() else None
    twin = encoded(markdown(head, content=content, sheet=sheet))
    write_atomic(facts.folder / TWIN, content=twin)
    write_atomic(facts.folder / PAGE, content=page)
    return Written(
        page=facts.folder / PAGE,
        twin=facts.folder / TWIN,
        csv=csv,
        parquet=parquet,
        verdict=headline(facts),
        is_self_contained=media.is_embedded,
        num_runs=len(facts.runs),
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
