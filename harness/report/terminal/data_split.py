"""What `harness data split` prints: counts and weights by class."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from core.data.items import DataKind
from core.data.splits.split import Method, Part
from core.data.splits.weights import ClassWeighting
from harness.data.split import MadeSplit
from harness.wording.data_kinds import group_word
from harness.wording.plain_text import plain

_MAX_ROWS = 40
_WEIGHTS = (
    "sqrt is sqrt(largest / n) over the training clips; weight is the same with the mean over "
    "the clips at 1. A profile may choose another rule or list its own weights."
)
_LEGENDS = {
    DataKind.CLASSES: _WEIGHTS,
    DataKind.LABELS: f"A clip with several labels counts at each. {_WEIGHTS}",
    DataKind.CAPTIONS: "A group is named by the words that tell its captions from the others. "
    "Without classes every clip weighs the same.",
}


def split_view(made: MadeSplit) -> RenderableType:
    """Counts and weights by class, then what a reader should know."""
    split = made.split
    table = _counts(made)
    lines = [Text(f"notice: {plain(notice)}", style="yellow") for notice in split.notices]
    lines += [Text(f"warning: {plain(warning)}", style="yellow") for warning in made.warnings]
    cap = "no cap" if split.rule.cap is None else f"cap {split.rule.cap}"
    how = (
        "imported"
        if split.rule.method is Method.IMPORTED
        else f"{cap}, seed {split.rule.seed}, official {split.rule.official.value}"
    )
    foot = f"{made.lock}  {how}\nhash {split.hash}"
    return Group(table, Text(_LEGENDS[split.kind], style="dim"), *lines, Text(foot))


def _counts(made: MadeSplit) -> Table:
    """By class, by label, or by group of captions, which have no weights."""
    split = made.split
    weights = made.weights.get(ClassWeighting.SQRT)
    rows = split.label_counts if split.kind is DataKind.LABELS else split.counts
    table = Table(box=None, pad_edge=False)
    table.add_column("label" if split.kind is DataKind.LABELS else group_word(split.kind).one)
    headings = (*(part.value for part in Part), "all", *(("sqrt", "weight") if weights else ()))
    for heading in headings:
        table.add_column(heading, justify="right")
    shown = sorted(rows, key=lambda name: -sum(rows[name].values()))[:_MAX_ROWS]
    for name in rows if len(rows) <= _MAX_ROWS else shown:
        row = rows[name]
        cells = [*(str(row[part]) for part in Part), str(sum(row.values()))]
        if weights:
            has_own = name in weights.weights
            cells.append(f"{weights.relative[name]:.2f}" if has_own else "")
            cells.append(f"{weights.weights[name]:.3f}" if has_own else "")
        table.add_row(Text(plain(name)), *cells)
    if len(rows) > _MAX_ROWS:
        table.add_row(Text(f"and {len(rows) - _MAX_ROWS} with fewer clips", style="dim"))
    sizes = [len(split.parts[part]) for part in Part]
    last = "all clips" if split.kind is DataKind.LABELS else "all"
    table.add_row(last, *map(str, sizes), str(sum(sizes)))
    return table
