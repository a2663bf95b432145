"""What the scorers were found to tell on this split, and what is not claimed because of it."""

from harness.metrics.arms import Arm
from harness.records.certificate import Told
from harness.records.parts import ListeningMargin
from harness.report.comparison.facts import Facts
from harness.report.page.content import Blank, Cell, Column, Paragraph, Part, Table
from harness.wording.numbers import metric_label, number, plain


def refused_margins(facts: Facts) -> list[Part]:
    """Margins that are blank, with the reason."""
    return [
        Blank(
            f"{_first_up(metric_label(name))} over {_over(facts, name)} is blank: {plain(reason)}."
        )
        for name, reason in facts.refused.items()
        if facts.declared(name).shows_listening and "." not in name
    ]


def is_refused(facts: Facts, margin: ListeningMargin) -> bool:
    """Whether a margin says what its scorers cannot tell."""
    if margin.metric not in facts.refused:
        return False
    return margin.control == Arm.SHUFFLED or facts.declared(margin.metric).compares_within_class


def certified(facts: Facts) -> list[Part]:
    """Every certificate; how to get them without any."""
    if not facts.certificates:
        how = "Not checked: whether these scorers tell the real clips of this split apart"
        return [Paragraph(f"{how} (harness scorers check).", tone="muted")]
    rows = [
        (Cell(plain(one.scorer)), Cell(one.task.value), _told(one.across), _told(one.within))
        for one in facts.certificates
    ]
    columns = (
        Column("scorer"),
        Column("asked for the"),
        Column("across classes", is_number=True),
        Column("within a class", is_number=True),
    )
    caption = (
        "What the scorers tell on real clips: share of other clips that fit less than the own one "
        "(chance 0.5), 95 % intervals for other clips of these classes"
    )
    return [Table(caption, columns, tuple(rows), is_folded=True)]


def _over(facts: Facts, name: str) -> str:
    is_within = facts.declared(name).compares_within_class
    return "every control" if is_within else "a mismatched sound of the class"


def _told(told: Told) -> Cell:
    if told.rate is None:
        return Cell("", note=plain(told.reason or ""), tone="muted")
    note = f"{number(told.low)} to {number(told.high)}"
    return Cell(number(told.rate), note=note if told.is_told else f"{note}; at chance")


def _first_up(text: str) -> str:
    return text[:1].upper() + text[1:]
