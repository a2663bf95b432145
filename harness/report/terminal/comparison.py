"""A comparison in the terminal: verdict first, then what it rests on."""

from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.comparison.pair_result import PairResult
from harness.comparison.record import ComparisonRecord, MetricRow
from harness.statistics.outcome import Population
from harness.votes.record import VotesRecord
from harness.votes.summary import answers_with_votes, deciding_votes
from harness.wording.numbers import count, fixed
from harness.wording.plain_text import plain

_NARROW = 116
"""Columns below which the paired table turns into a paragraph a pair."""


def comparison_view(
    found: ComparisonRecord,
    *,
    files: Sequence[tuple[str, Path]] = (),
    width: int = 120,
    votes: VotesRecord | None = None,
) -> RenderableType:
    """Verdict, paired differences, means, and the files that were written.

    files: label and path of each. width: columns there are; a narrow terminal gets paragraphs
    instead of tables that would break in mid-number. votes: listeners' votes on it.
    """
    by_votes = deciding_votes(votes, record=found)
    parts: list[RenderableType] = [
        Text(plain(found.verdict if by_votes is None else by_votes.sentence), style="bold"),
        Text(""),
    ]
    for answer in answers_with_votes(found, votes=votes):
        parts.append(Text.assemble((f"{answer.question}: ", "bold"), " ".join(answer.sentences)))
        if answer.command:
            parts.append(Text(f"  {answer.command}", overflow="fold"))
    parts.append(Text(""))
    narrow = width < _NARROW
    if found.pairs:
        parts += [_pair_lines(found.pairs) if narrow else _pairs_table(found), Text("")]
    parts += [_means_lines(found) if narrow else _means_table(found), Text("")]
    parts += [Text(f"{plain(row.sentence)}.") for row in found.near_real]
    for run in found.runs:
        if run.error is not None:
            parts.append(Text(f"failed: {run.run_id}: {plain(run.error)}", style="red"))
    parts += [Text(f"notice: {plain(notice)}", style="yellow") for notice in found.notices]
    pad = max((len(label) for label, _ in files), default=0)
    parts += [Text(f"{label:<{pad}}  {path}", overflow="fold") for label, path in files]
    return Group(*parts)


def _outcome(pair: PairResult) -> str:
    if pair.winner:
        clips = "\non these clips" if pair.population is Population.THESE_CLIPS else ""
        return f"{pair.verdict.value}\n{pair.winner}{clips}"
    if pair.ahead:
        return f"{pair.verdict.value}\n{pair.ahead} ahead"
    return pair.verdict.value


def _p(value: float | None) -> str:
    return "<.001" if value is not None and value < 0.001 else fixed(value)


def _between(low: float, high: float) -> str:
    return f"{low:+.3f} .. {high:+.3f}"


def _pairs_table(found: ComparisonRecord) -> Table:
    table = Table(
        "pair",
        "difference",
        "95 %, all pairs",
        "and over clips",
        "p (Holm)",
        "p (sign flip)",
        "detectable",
        "outcome",
        title=f"{found.metric}, paired over {count(len(found.seeds), 'seed')}",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for column in table.columns[1:7]:
        column.no_wrap = True
    for pair in found.pairs:
        clips = pair.other_clips.interval if pair.other_clips is not None else None
        seeds = pair.simultaneous or pair.interval
        table.add_row(
            f"{pair.first}\n- {pair.second}",
            f"{pair.effect:+.3f}",
            "" if seeds is None else _between(seeds.low, seeds.high),
            "" if clips is None else _between(clips.low, clips.high),
            _p(pair.adjusted_p),
            _p(pair.sign_flip_p),
            fixed(pair.detectable),
            _outcome(pair),
        )
    return table


def _pair_lines(pairs: Sequence[PairResult]) -> Text:
    return Text("\n".join(pair.sentence for pair in pairs))


def _shown(found: ComparisonRecord) -> list[MetricRow]:
    """The metrics with a number, without the parts of one."""
    return [
        row
        for row in found.metrics
        if "." not in row.metric and any(s.mean is not None for s in row.branches.values())
    ]


def _means_table(found: ComparisonRecord) -> Table:
    table = Table(
        "metric",
        "better",
        *found.branches,
        "real pictures",
        title=f"Means over {count(len(found.seeds), 'seed')}",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for column in table.columns[2:]:
        column.justify = "right"
    for row in _shown(found):
        direction = "higher" if row.higher_is_better else "lower"
        cells = [fixed(row.branches[branch].mean) for branch in found.branches]
        name = Text(row.metric, style="bold" if row.is_primary else "")
        table.add_row(name, direction, *cells, fixed(row.real))
    return table


def _means_lines(found: ComparisonRecord) -> Text:
    lines = [f"Means over {count(len(found.seeds), 'seed')}"]
    for row in _shown(found):
        cells = ", ".join(f"{b} {fixed(row.branches[b].mean)}" for b in found.branches)
        lines.append(f"{row.metric} ({'higher' if row.higher_is_better else 'lower'}): {cells}")
    return Text("\n".join(lines))
