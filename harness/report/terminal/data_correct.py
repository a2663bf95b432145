"""What `harness data exclude` and `harness data relabel` print."""

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from harness.data.correct import Corrected
from harness.report.terminal.data_split import split_view
from harness.wording.plain_text import plain


def corrected_view(done: Corrected) -> RenderableType:
    """What was done, and the next step."""
    said = Text(plain(done.correction.sentence))
    if done.made is not None:
        return Group(said, split_view(done.made))
    return Group(said, Text(f"next: harness data split {done.out} --out LOCK.json"))


def corrected_data(done: Corrected) -> dict[str, Any]:
    """The same for scripts."""
    found: dict[str, Any] = {
        "out": str(done.out),
        "ids": list(done.correction.ids),
        "class_name": done.correction.class_name,
        "reason": done.correction.reason.strip(),
    }
    if done.made is not None:
        return {**found, **done.made.data()}
    assert done.manifest is not None
    return {**found, "counts": done.manifest.class_counts()}
