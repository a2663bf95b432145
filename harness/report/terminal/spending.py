"""Where a run's seconds went, on a terminal."""

from rich.console import RenderableType
from rich.text import Text

from harness.records.processes import Cost
from harness.records.spending import ONE_GRAPH, advice, is_unsplit
from harness.wording.numbers import count, duration, percent
from harness.wording.plain_text import plain


def spending_lines(cost: Cost, *, share_of_peak: float | None = None) -> list[RenderableType]:
    """The parts by size, the processes where there were several, and what to do about it.

    share_of_peak: of the card's peak that training reached; None where that is not known.
    """
    parts = cost.parts
    whole = sum(parts.values())
    if not whole:
        return []
    ordered = sorted(parts.items(), key=lambda item: -item[1])
    told = ", ".join(f"{plain(name)} {_share(value / whole)}" for name, value in ordered)
    lines: list[RenderableType] = [Text(f"of {duration(whole)}: {told}")]
    if is_unsplit(parts):
        lines.append(Text(ONE_GRAPH))
    if len(cost.sessions) > 1:
        ends = ", ".join(
            f"{session.how or 'unknown'} after {duration(session.seconds) or 'an unknown time'}"
            for session in cost.sessions
        )
        lines.append(Text(f"{count(len(cost.sessions), 'process', 'processes')}: {ends}"))
    if cost.dollars is not None:
        lines.append(Text(f"${cost.dollars:,.2f}"))
    if share_of_peak is not None:
        lines.append(Text(f"training reached {share_of_peak:.1%} of the card's peak"))
    lines_of_advice = advice(cost, share_of_peak=share_of_peak)
    return [*lines, *(Text(f"advice: {line}", style="yellow") for line in lines_of_advice)]


def _share(share: float) -> str:
    return percent(share) if share >= 0.01 else "<1\u202f%"
