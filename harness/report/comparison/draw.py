"""A comparison that was just made, drawn: its contact sheet and its report."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.comparison.compare import Comparison
from harness.records.folders import ReportFolder
from harness.votes.summary import deciding_votes, votes_on


@dataclass(frozen=True)
class DrawnComparison:
    """A comparison and the files that were written of it."""

    comparison: Comparison
    """What was drawn."""
    sheet: Path | None
    """The contact sheet; None where there was nothing to draw."""
    report: Path
    """The HTML report."""

    @property
    def files(self) -> list[tuple[str, Path]]:
        """Label and path of what was written."""
        files = [("comparison", ReportFolder(self.comparison.folder).comparison)]
        if self.sheet is not None:
            files.append(("contact sheet", self.sheet))
        return [*files, ("report", self.report)]

    def data(self) -> dict[str, Any]:
        """The comparison for scripts."""
        record = self.comparison.record
        votes = deciding_votes(votes_on(self.comparison.folder), record=record)
        return {
            "report": str(self.report),
            "comparison": str(ReportFolder(self.comparison.folder).comparison),
            "verdict": record.verdict,
            "outcome": record.outcome.value,
            "winner": record.winner,
            "strength": record.strength.value,
            "metric": record.metric,
            "votes": None if votes is None else votes.model_dump(mode="json"),
            "contact_sheet": None if self.sheet is None else str(self.sheet),
        }


def draw_comparison(comparison: Comparison) -> DrawnComparison:
    """Write the contact sheet, where its clips are still there, and then the report around it.

    What was drawn of a stored comparison stays as it is.

    Raises:
        NoSpaceError: the disk is full.
    """
    folder = ReportFolder(comparison.folder)
    if comparison.is_stored and _is_drawn(folder):
        drawn = folder.contact_sheet if folder.contact_sheet.is_file() else None
        return DrawnComparison(comparison, drawn, folder.page)
    from harness.report.comparison.contact_sheet import draw_sheet
    from harness.report.draw import write_report

    sheet = None
    if comparison.finished and comparison.split is not None:
        sheet = draw_sheet(
            [run.record for run in comparison.finished],
            folders={run.record.run_id: run.folder for run in comparison.finished},
            split=comparison.split,
            out=folder.contact_sheet,
        )
    return DrawnComparison(comparison, sheet, write_report(comparison.folder).page)


def _is_drawn(folder: ReportFolder) -> bool:
    """Whether the page is there and was written after the numbers that it shows."""
    if not folder.page.is_file():
        return False
    return folder.page.stat().st_mtime_ns >= folder.comparison.stat().st_mtime_ns
