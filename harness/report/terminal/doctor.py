"""What `harness doctor` prints."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.doctor.doctor import Diagnosis
from harness.doctor.finding import State
from harness.wording.numbers import count
from harness.wording.plain_text import plain

_MARKS = {State.GOOD: ("ok", "green"), State.NOTE: ("note", "yellow"), State.BAD: ("bad", "red")}


def diagnosis_view(found: Diagnosis) -> RenderableType:
    """A row for each finding, then the commands that mend what is bad."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in found.findings:
        word, colour = _MARKS[one.state]
        table.add_row(Text(word, style=colour), one.name, Text(plain(one.sentence)))
    problems = [one for one in found.findings if one.state is State.BAD]
    last = (
        f"{count(len(problems), 'thing')} would prevent a run of {found.profile}."
        if problems
        else f"Nothing prevents a run of {found.profile}."
    )
    return Group(table, Text(""), Text(last))


def commands_of(found: Diagnosis) -> str:
    """The commands that mend what is bad or worth a change, to be copied."""
    return "\n".join(one.command for one in found.findings if one.command is not None)
