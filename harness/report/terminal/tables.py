"""What the commands print: rich tables on a terminal, the same text plain elsewhere."""

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.costs.peak import share_of_peak
from harness.metrics.plugins import found_plugins
from harness.metrics.registry import METRICS, known_metrics
from harness.records.parts import ListeningMargin, MetricValue, StageFacts
from harness.records.record import RunRecord
from harness.report.terminal.spending import spending_lines
from harness.wording.numbers import fixed
from harness.wording.plain_text import plain

if TYPE_CHECKING:
    from harness.branches.described import DescribedVariant

_PLAIN_WIDTH = 120


def console() -> Console:
    """Standard output: as wide as the terminal, or wide enough for the tables off it."""
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        return Console(highlight=False)
    return Console(highlight=False, width=_PLAIN_WIDTH)


def record(found: RunRecord, *, folder: Path) -> RenderableType:
    """One run: scores by arm, listening margins, stages, cost."""
    parts: list[RenderableType] = [
        Text(f"{found.run_id}  {found.status.value}", style="bold"),
        Text(f"folder {folder}   profile {found.identity.profile}   seed {found.identity.seed}"),
    ]
    if found.error:
        parts.append(Text(f"error: {plain(found.error)}", style="red"))
    if found.arms:
        parts += [Text(""), _arms_table(found.arms)]
        blank = {v.metric: v.reason for v in found.metrics.values() if v.value is None}
        parts += [Text(f"{name} is blank: {reason}") for name, reason in blank.items()]
    if found.controls:
        parts += [Text(""), _controls_table(found.controls)]
    if found.stages:
        parts += [Text(""), _stages_table(found.stages)]
    seconds = found.seconds
    if seconds:
        total = found.total_seconds
        detail = ", ".join(f"{name} {value:.0f}" for name, value in seconds.items())
        parts += [Text(""), Text(f"{total:.0f} s on {found.cost.device} ({detail})")]
        parts += spending_lines(found.cost, share_of_peak=share_of_peak(found))
    parts += [Text(f"notice: {plain(notice)}", style="yellow") for notice in found.notices]
    return Group(*parts)


def _arms_table(arms: Mapping[str, Mapping[str, MetricValue]]) -> Table:
    names = list(dict.fromkeys(name for values in arms.values() for name in values))
    table = Table("metric", "better", *arms, title="Scores by arm", title_justify="left")
    for column in table.columns[2:]:
        column.justify = "right"
    for name in names:
        cells = [arms[arm].get(name) for arm in arms]
        known = next(cell for cell in cells if cell is not None)
        direction = "higher" if known.higher_is_better else "lower"
        table.add_row(name, direction, *[fixed(c.value if c else None) for c in cells])
    return table


def _controls_table(controls: Iterable[ListeningMargin]) -> Table:
    table = Table(
        "metric",
        "control",
        "n",
        "advantage",
        "95 % interval",
        "z",
        title="Advantage of the matching sound, paired by clip",
        title_justify="left",
    )
    shown = {name for name, declared in known_metrics().items() if declared.shows_listening}
    for margin in controls:
        if margin.metric not in shown:
            continue
        low, high = fixed(margin.low), fixed(margin.high)
        table.add_row(
            margin.metric,
            margin.control,
            str(margin.n),
            fixed(margin.mean),
            f"{low} .. {high}" if low else "",
            fixed(margin.z, digits=1),
        )
    return table


def _stages_table(stages: Iterable[StageFacts]) -> Table:
    table = Table("stage", "steps", "kept", "trainable", "loss", "validation", "gates", "seconds")
    for stage in stages:
        gates = list(stage.gates.values())
        table.add_row(
            stage.stage,
            f"{stage.steps_done}/{stage.steps_planned}",
            "" if stage.kept_step is None else str(stage.kept_step),
            f"{stage.trainable_parameters:,}",
            fixed(stage.last_loss, digits=4),
            fixed(stage.validation_loss, digits=4),
            f"{min(gates):.2f} .. {max(gates):.2f}" if gates else "",
            f"{stage.seconds:.0f}",
        )
    return table


def variants(
    described: Iterable["DescribedVariant"], *, is_verbose: bool = False
) -> RenderableType:
    """The branches, a line each, then the controls; `is_verbose` adds what each stage trains."""
    table = Table("branch", "what it is", "trainable", box=None, pad_edge=False)
    details: list[RenderableType] = []
    for variant in sorted(described, key=lambda variant: variant.is_control):
        if variant.error is not None:
            table.add_row(variant.name, Text(plain(variant.error), style="red"), "")
            continue
        kind = "control: " if variant.is_control else ""
        total = sum(variant.parameters.values())
        table.add_row(variant.name, kind + variant.summary, f"{total:,}")
        hears = ", ".join(variant.hears) or "nothing"
        title = f"{variant.name}: conditions on {hears}; {variant.unet_adapter} on the UNet"
        details += [Text(""), Text(title), _trained(variant)]
    return Group(table, *details) if is_verbose else table


def foreign_metrics() -> RenderableType | None:
    """The metrics of other packages, and those that cannot be had; None where there are none."""
    found = found_plugins(frozenset(METRICS))
    if not found.metrics and not found.broken:
        return None
    table = Table("metric", "what it is", "package", box=None, pad_edge=False)
    for name, plugin in found.origins.items():
        declared = found.metrics[name]
        table.add_row(name, Text(declared.definition), plugin.distribution or plugin.module)
    broken = [Text(sentence, style="red") for sentence in found.broken]
    return Group(*([table] if found.metrics else []), *broken)


def _trained(variant: "DescribedVariant") -> Table:
    table = Table("stage", "steps", "trainable", "modules", box=None, pad_edge=False)
    for stage, count in variant.stages.items():
        parts = [f"{module} {number:,}" for module, number in variant.modules[stage].items()]
        trained = ", ".join(parts) or "nothing to train: the stage is skipped"
        table.add_row(stage, f"{variant.steps[stage]:,}" if parts else "0", f"{count:,}", trained)
    return table
