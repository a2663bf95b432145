"""The runs behind every number."""

import os
from urllib.parse import quote

from harness.records.folders import RunFolder
from harness.report.comparison.facts import Facts, ReportRun
from harness.report.page.content import Blank, Cell, Column, Section, Table
from harness.wording.numbers import duration, metric_label, number, plain


def run_list(facts: Facts) -> Section:
    """Every run with its command and folder; numbers elsewhere lead here."""
    if not facts.runs:
        return Section("runs", "Runs", [Blank("No run was found on disk.")])
    primary = facts.primary.name if facts.primary is not None else None
    ordered = sorted(facts.runs, key=lambda run: (facts.index(run.branch), run.seed))
    rows = tuple(
        (
            Cell(
                f"{plain(run.branch)}, seed {run.seed}",
                href=folder_href(facts, run),
                branch=facts.index(run.branch),
            ),
            Cell(run.record.status.value, tone="" if run in facts.finished else "bad"),
            Cell(number(run.value(primary)) if primary else ""),
            Cell(plain(run.record.finished_at).replace("T", " ").replace("+00:00", " UTC")),
            Cell(duration(run.total_seconds)),
            Cell(plain(run.record.identity.profile)),
        )
        for run in ordered
    )
    table = Table(
        "Each run links to its record, if the page is in the folder of the runs",
        (
            Column("run"),
            Column("status"),
            Column(metric_label(primary) if primary else "score", is_number=True),
            Column("finished"),
            Column("took", is_number=True),
            Column("profile"),
        ),
        rows,
        row_ids=tuple(f"run-{run.run_id}" for run in ordered),
    )
    commands = Table(
        "Ids and commands of the runs",
        (Column("run"), Column("id"), Column("command")),
        tuple(
            (
                Cell(f"{plain(run.branch)}, seed {run.seed}", href=run.anchor),
                Cell(run.run_id),
                Cell(plain(run.record.command)),
            )
            for run in ordered
        ),
        is_folded=True,
    )
    environment = _environment(facts)
    return Section("runs", "Runs", [table, commands, environment])


def folder_href(facts: Facts, run: ReportRun) -> str:
    """Path of a run's record relative to the page."""
    path = os.path.relpath(RunFolder(run.folder).record, facts.folder)
    return quote(path.replace(os.sep, "/"), safe="/.-_~")


def _environment(facts: Facts) -> Table:
    names = list(dict.fromkeys(key for run in facts.runs for key in run.record.environment))
    rows = []
    for name in names:
        values = dict.fromkeys(run.record.environment.get(name, "") for run in facts.runs)
        rows.append((Cell(plain(name)), Cell(", ".join(plain(v) for v in values))))
    return Table(
        "Versions and machine", (Column("what"), Column("value")), tuple(rows), is_folded=True
    )
