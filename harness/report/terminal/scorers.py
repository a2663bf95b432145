"""What `harness scorers check` prints."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.records.certificate import Task, Told
from harness.run.certificates import Checked
from harness.wording.numbers import fixed, number
from harness.wording.plain_text import plain

ASKED = {
    Task.SOUND: "which clip's sound belongs to the picture",
    Task.ATTRIBUTES: "whose true attributes are those read off the picture",
    Task.SOURCES: "whose sources are those found in the picture",
    Task.CAPTION: "whose caption belongs to the picture",
    Task.PICTURE: "which clip's picture it was before it was cropped",
}


def checked_view(checked: Checked) -> RenderableType:
    """Rates with intervals, what alterations change, and what may not be claimed."""
    table = _table("scorer", "asked", "across classes", "within a class", title="What scorers tell")
    for one in checked.certificates:
        table.add_row(_name(one.scorer), one.task.value, _told(one.across), _told(one.within))
    altered = _table("scorer", "asked", "altered", "across", "within", "moved")
    for one in checked.certificates:
        for row in one.alterations:
            altered.add_row(
                _name(one.scorer),
                one.task.value,
                f"{row.altered} {row.alteration.split(':')[0]}",
                fixed(row.across),
                fixed(row.within),
                fixed(row.moved),
            )
    first = checked.certificates[0]
    parts: list[RenderableType] = [
        table,
        Text(
            f"Share of other clips that fit less than the own one; chance 0.5. {first.num_clips} "
            f"real clips of {first.num_classes} classes; intervals for other clips of these."
        ),
        *(Text(f"{task.value}: {ASKED[task]}") for task in _tasks(checked)),
        Text(""),
        altered,
        *(Text(words) for words in _alterations(checked)),
        Text("moved: 0 where nothing changes, 1 where it goes as far as another clip of the class"),
        Text(""),
        *(Text(f"refused: {plain(sentence)}.", style="yellow") for sentence in refused(checked)),
        Text(f"certificates  {checked.folder}", overflow="fold"),
    ]
    return Group(*parts)


def checked_data(checked: Checked) -> dict[str, Any]:
    """The same for scripts."""
    return {
        "folder": str(checked.folder),
        "certificates": [
            {"file": f"{one.identity}.json", **one.model_dump(mode="json")}
            for one in checked.certificates
        ],
        "refused": refused(checked),
    }


def refused(checked: Checked) -> list[str]:
    """Which claims no report makes of these scorers on this split."""
    return [
        f"claims about mismatched sound of the same class: {reason}"
        for one in checked.certificates
        if one.task in (Task.SOUND, Task.ATTRIBUTES, Task.SOURCES)
        if (reason := one.refusal(within=True)) is not None
    ]


def _alterations(checked: Checked) -> list[str]:
    rows = [row for one in checked.certificates for row in one.alterations]
    return list(dict.fromkeys(f"{row.altered} {row.alteration}" for row in rows))


def _tasks(checked: Checked) -> list[Task]:
    return list(dict.fromkeys(one.task for one in checked.certificates))


def _name(scorer: str) -> str:
    """A line for each of a pair."""
    return plain(scorer).replace("+", "\n+ ")


def _table(*columns: str, title: str | None = None) -> Table:
    return Table(*columns, title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)


def _told(told: Told) -> str:
    if told.rate is None:
        return told.reason or ""
    low, high = number(told.low), number(told.high)
    word = "" if told.is_told else "\nat chance"
    return f"{number(told.rate)} ({low} to {high}){word}"
