"""`harness report`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli.commands.options import AsJson, Results, print_result


def report(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|COMPARISON|SWEEP...",
            help="Comparisons and sweeps (name or path) get a report each, next to their numbers; "
            "runs (id, the start of an id, or path) get one together, side by side.",
        ),
    ],
    votes: Annotated[
        list[Path] | None,
        typer.Option(
            dir_okay=False,
            help="With one comparison: a listener's file from the page of `harness vote`; repeat "
            "it, or list several after it.",
        ),
    ] = None,
    decide: Annotated[
        str | None,
        typer.Option(
            metavar="votes",
            help="With --votes: let the verdict rest on them although their plan did not say so "
            "(harness vote --decide); it is exploratory then.",
        ),
    ] = None,
    results: Results = Path("results"),
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder to write to instead, such as for a read-only results folder; several "
            "reports get a folder each in it.",
        ),
    ] = None,
    max_mb: Annotated[
        float,
        typer.Option(
            min=0.1,
            help="Maximum size of a self-contained page; above it, media are written to files "
            "next to it.",
        ),
    ] = 20.0,
    as_json: AsJson = False,
) -> None:
    """Write the report of comparisons, sweeps or runs: an HTML page, Markdown and all numbers."""
    from rich.text import Text

    from core.errors import UsageError
    from harness.cli.report_targets import scored_votes, write_reports

    scored = None
    if decide not in (None, "votes"):
        raise UsageError(f"--decide {decide!r}; expected votes")
    if decide and not votes:
        raise UsageError("--decide votes requires --votes FILE...")
    if votes and out is not None:
        raise UsageError(
            "--votes keeps its scores with the comparison, so it cannot be combined with --out; "
            "score the votes first, then write the report elsewhere"
        )
    if votes:
        targets, files = targets[:1], [*votes, *(Path(word) for word in targets[1:])]
        scored = scored_votes(targets[0], files=files, results=results, decides=bool(decide))
    written = write_reports(targets, results=results, max_bytes=int(max_mb * 1e6), out=out)
    lines = [f"{report.verdict}\nreport  {report.page}" for report in written]
    data: dict[str, Any] = {"reports": [report.data() for report in written]}
    if scored is not None:
        left_out = [
            f"left out  {one.name}: {one.left_out}" for one in scored.listeners if one.left_out
        ]
        lines.insert(0, "\n".join([*(q.sentence for q in scored.questions), *left_out]))
        data["votes"] = scored.model_dump(mode="json")
    print_result(Text("\n\n".join(lines)), as_json=as_json, data=data)
