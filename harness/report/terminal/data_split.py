"""What `harness data split` prints: counts and weights by class."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from core.data.splits.split import Method, Part
from core.data.splits.weights import ClassWeighting
from harness.data.split import MadeSplit
from harness.wording.plain_text import plain


def split_view(made: MadeSplit) -> RenderableType:
    """Counts and weights by class, then what a reader should know."""
    split, table = made.split, Table(box=None, pad_edge=False)
    table.add_column("class")
    for heading in (*(part.value for part in Part), "all", "sqrt", "weight"):
        table.add_column(heading, justify="right")
    weights = made.weights[ClassWeighting.SQRT]
    for name, row in split.counts.items():
        cells = [str(row[part]) for part in Part]
        own = (f"{weights.relative[name]:.2f}", f"{weights.weights[name]:.3f}")
        table.add_row(Text(plain(name)), *cells, str(sum(row.values())), *own)
    sizes = [len(split.parts[part]) for part in Part]
    table.add_row("all", *map(str, sizes), str(sum(sizes)), "", "")
    lines = [Text(f"notice: {plain(notice)}", style="yellow") for notice in split.notices]
    lines += [Text(f"warning: {plain(warning)}", style="yellow") for warning in made.warnings]
    how = (
        "imported"
        if split.rule.method is Method.IMPORTED
        else f"cap {split.rule.cap}, seed {split.rule.seed}, official {split.rule.official.value}"
    )
    legend = (
        "sqrt is sqrt(largest / n) over the training clips; weight is the same with the mean over "
        "the clips at 1. A profile may choose another rule or list its own weights."
    )
    foot = f"{made.lock}  {how}\nhash {split.hash}"
    return Group(table, Text(legend, style="dim"), *lines, Text(foot))
