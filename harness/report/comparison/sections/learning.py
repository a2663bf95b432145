"""Learning curves."""

from harness.report.comparison import figures
from harness.report.comparison.facts import Facts
from harness.report.comparison.sections.common import branch_cell, run_cell
from harness.report.comparison.sections.previews import preview_sheet
from harness.report.page.content import Blank, Cell, Column, Figure, Section, Table
from harness.report.page.media import MediaStore
from harness.wording.numbers import label, listed, number, plain

_TITLE = "Learning curves"


def learning_curves(facts: Facts, *, media: MediaStore) -> Section:
    """Losses and gates over the steps, with the stages' boundaries, and previews."""
    logged = [run for run in facts.runs if not run.events.empty]
    if not logged:
        return Section("learning", _TITLE, [Blank("No run left an event log.")])
    wide, narrow = figures.learning(
        {
            branch: [run.events for run in logged if run.branch == branch]
            for branch in facts.branches
        },
        stages=_stages(facts),
        branches=facts.branches,
    )
    without = [run.run_id for run in facts.runs if run.events.empty]
    figure = Figure(
        "learning-plot",
        "Losses and gates over the optimiser steps",
        alt="Validation loss, training loss and gates of every run over its steps; the table "
        "below holds where each stage ended.",
        wide=wide,
        narrow=narrow,
        legend=(
            "Strong lines: mean over seeds; faint ones: runs. Dotted vertical lines: ends of the "
            "stages. Gates: mean over blocks, in a band from the lowest block to the highest. The "
            "training loss is the "
            "diffusion loss alone, so that branches with further terms compare.",
            *((f"No event log: {listed(without)}.",) if without else ()),
        ),
    )
    return Section(
        "learning",
        _TITLE,
        [figure, _stage_table(facts), *preview_sheet(facts, media=media)],
        lead="Losses and gates of every run over its steps, and where each stage ended.",
        is_folded=True,
    )


def _stages(facts: Facts) -> list[tuple[str, float]]:
    """Name and last step of each stage; of the longest run where they differ."""
    found: list[tuple[str, float]] = []
    for run in facts.runs:
        last, ends = 0.0, []
        for stage in run.record.stages:
            last += stage.steps_done
            ends.append((stage.stage, last))
        if len(ends) > len(found) or (ends and found and last > found[-1][1]):
            found = ends
    return found or [("training", max(float(run.events["step"].max()) for run in facts.runs))]


def _stage_table(facts: Facts) -> Table:
    rows = []
    for branch in facts.branches:
        for run in (run for run in facts.runs if run.branch == branch):
            for stage in run.record.stages:
                gates = list(stage.gates.values())
                rows.append(
                    (
                        run_cell(run),
                        branch_cell(facts, branch),
                        Cell(label(stage.stage)),
                        Cell(f"{stage.steps_done} of {stage.steps_planned}"),
                        Cell(str(stage.kept_step)),
                        Cell(plain(stage.stopped_by).replace("_", " ")),
                        Cell(number(stage.last_loss, digits=4)),
                        Cell(number(stage.validation_loss, digits=4)),
                        Cell(
                            f"{number(min(gates), digits=2)} to {number(max(gates), digits=2)}"
                            if gates
                            else ""
                        ),
                    )
                )
    return Table(
        "Where each stage ended",
        (
            Column("run"),
            Column("branch"),
            Column("stage"),
            Column("steps", is_number=True),
            Column("kept step", is_number=True),
            Column("stopped by"),
            Column("last loss", is_number=True),
            Column("last validation loss", is_number=True),
            Column("gates", is_number=True),
        ),
        tuple(rows),
        is_folded=True,
    )
