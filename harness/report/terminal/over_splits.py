"""Several splits of one question in the terminal: each verdict, then what the splits change."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.comparison.over_splits import OverSplits
from harness.wording.plain_text import plain


def over_splits_view(found: OverSplits, *, reports: Sequence[Path]) -> RenderableType:
    """A row for each split, a sentence for each pair.

    reports: page of each split's report.
    """
    table = Table(box=None, pad_edge=False)
    table.add_column("split", justify="right", no_wrap=True)
    table.add_column("verdict", overflow="fold")
    for seed, comparison in enumerate(found.comparisons):
        table.add_row(str(seed), Text(plain(comparison.record.verdict)))
    parts: list[RenderableType] = [table, Text("")]
    for share in found.shares:
        sentence = share.sentence
        parts.append(Text(f"{sentence[:1].upper()}{sentence[1:]}."))
    if not found.shares:
        parts.append(Text("No pair of branches has a difference on every split."))
    parts.append(
        Text(
            "Each verdict speaks of its own split; there is no test over splits, which share clips."
        )
    )
    parts += [
        Text(f"report of split {seed}  {path}", overflow="fold")
        for seed, path in enumerate(reports)
    ]
    return Group(*parts)
