"""Plots of a probe: each measure over the levels, and what each branch reacts to."""

from typing import Any

from harness.probe.record import ProbedProperty, ProbeRecord
from harness.report.page.style import MUTED, both, colour, marker, new_figure
from harness.wording.numbers import label


def curves(record: ProbeRecord, prop: ProbedProperty) -> tuple[str, str]:
    """A panel a measure: its mean at each level, a line a branch; dashed, what the sound says."""

    def draw(width_px: int) -> Any:
        columns = 2 if width_px < 500 else 4
        rows = -(-len(record.measures) // columns)
        figure = new_figure(width_px, 50 + 150 * rows)
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, measure in zip(grid, record.measures, strict=False):
            for run_id, index in _lines(record):
                found = record.response(run_id, property=prop.name, measure=measure.name)
                if found is None:
                    continue
                points = [
                    (level, mean)
                    for level, mean in zip(prop.levels, found.means, strict=True)
                    if mean is not None
                ]
                style: dict[str, Any] = (
                    {"color": MUTED, "linestyle": "--", "linewidth": 1.4}
                    if index is None
                    else {"color": colour(index), "marker": marker(index), "markersize": 4.5}
                )
                axes.plot(*zip(*points, strict=True), **style)
            axes.set_title(label(measure.name), fontsize=11)
            axes.margins(y=0.15)
        for axes in grid[len(record.measures) :]:
            axes.set_visible(False)
        figure.supxlabel(f"{prop.name} ({prop.unit})", fontsize=11, color=MUTED)
        return figure

    return both(f"curves-{prop.name}", draw)


def reactions(record: ProbeRecord) -> tuple[str, str]:
    """How far the image moves at the property's furthest level, a mark a branch."""

    def draw(width_px: int) -> Any:
        figure = new_figure(width_px, 60 + 34 * len(record.properties))
        axes = figure.subplots()
        names = [label(prop.name) for prop in record.properties]
        for index, run in enumerate(record.runs):
            for place, prop in enumerate(record.properties):
                found = record.response(run.run_id, property=prop.name, measure="change")
                if found is None:
                    continue
                most = max(mean for mean in found.means if mean is not None)
                y = len(names) - 1 - place + 0.16 * (index - (len(record.runs) - 1) / 2)
                axes.plot([most], [y], marker(index), color=colour(index), markersize=8)
            for words, value in (("noise", run.other_noise), ("sound", run.other_sound)):
                if value is not None:
                    style = ":" if words == "noise" else "--"
                    axes.axvline(value, color=colour(index), linestyle=style, linewidth=1.2)
        axes.set_yticks(range(len(names)), names[::-1])
        axes.set_xlim(left=0)
        axes.set_xlabel("largest mean change of the image (cosine distance)")
        return figure

    return both("reactions", draw)


def _lines(record: ProbeRecord) -> list[tuple[str | None, int | None]]:
    return [(None, None), *((run.run_id, index) for index, run in enumerate(record.runs))]
