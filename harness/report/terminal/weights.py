"""What `harness weights` prints."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table

from harness.settings.weights import NeededModel


def weights_view(needed: Sequence[NeededModel]) -> RenderableType:
    """A row for each model."""
    table = Table(box=None, pad_edge=False)
    for column in ("role", "source", "GB", "found", "licence"):
        table.add_column(column, overflow="fold")
    for model in needed:
        where = "missing" if model.found is None else str(model.found)
        if model.source == where or model.source.startswith("embedded:"):
            where = "here"
        table.add_row(model.role, model.source, _gigabytes(model), where, model.licence)
    return table


def commands_text(needed: Sequence[NeededModel]) -> str:
    """The commands that fetch what is not here, and how a run comes to use it; to be copied."""
    missing = [model for model in needed if model.found is None]
    lines = []
    if missing:
        total = sum(model.num_bytes or 0 for model in missing)
        lines.append(
            f"{len(missing)} of {len(needed)} are missing, about {total / 1e9:.1f} GB: "
            "`harness weights get` with the same options fetches them, or these do:"
        )
        lines += [model.command for model in missing if model.command is not None]
        lines += [str(model.problem) for model in missing if model.command is None]
    lines += [
        f"use the {model.role} scorer with {model.setting}"
        for model in needed
        if model.setting is not None
    ]
    return "\n".join(lines)


def _gigabytes(model: NeededModel) -> str:
    return "?" if model.num_bytes is None else f"{model.num_bytes / 1e9:.2f}"
