"""What `harness list --adapters` prints."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from core.choices import UnetAdapterKind
from harness.branches.described import DescribedAdapter
from harness.wording.plain_text import plain

_LORA = "none: the profile's lora.rank, lora.alpha and lora.dropout"
_PROFILE = {
    UnetAdapterKind.LORA: _LORA,
    UnetAdapterKind.DORA: _LORA,
    UnetAdapterKind.IA3: "none",
    UnetAdapterKind.SSF: "none: the profile's ssf.scope",
}


def adapters_view(rows: Sequence[DescribedAdapter]) -> RenderableType:
    """The kinds that `adapt` takes, then those that are refused, with the reason."""
    table = Table(
        "adapt", "trainable", "before training", "adapt_options", box=None, pad_edge=False
    )
    table.columns[1].justify = "right"
    for row in rows:
        if row.refused is not None:
            continue
        options = _PROFILE.get(row.kind, "") if row.is_ours else ", ".join(row.options)
        count = "" if row.parameters is None else f"{row.parameters:,}"
        table.add_row(row.kind.value, count, departure(row), Text(plain(options)))
    notes = [
        Text(f"{row.kind.value}: {plain(row.note)}", style="yellow") for row in rows if row.note
    ]
    refused = [
        Text(f"{row.kind.value}: {plain(row.refused)}") for row in rows if row.refused is not None
    ]
    return Group(
        table,
        Text(""),
        *notes,
        Text("The rest of peft's tuners, and why a run refuses them:"),
        *refused,
    )


def departure(row: DescribedAdapter) -> str:
    """How far from the frozen UNet it starts."""
    if row.departs is None:
        return ""
    return "the identity" if row.departs == 0 else f"off by {row.departs:.0e}"
