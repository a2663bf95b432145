"""What `harness data diff` prints."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from core.data.splits.split import Part
from harness.comparison.clips_lost import Consequences, RunWithout
from harness.data.diff import DataDiff, Gone, Side
from harness.wording.numbers import count, number
from harness.wording.plain_text import plain

_MOST = 12
"""Clips that are named; --json has all."""


def data_diff_view(diff: DataDiff, found: Consequences) -> RenderableType:
    """The clips that differ, then what that does to finished runs."""
    parts: list[RenderableType] = [
        Text(_side("A", diff.first)),
        Text(_side("B", diff.second)),
        Text(
            f"{diff.num_equal} clips are the same in both; {len(diff.vanished)} of A are not in B, "
            f"{len(diff.new)} of B are not in A, {len(diff.changed)} are in both and differ",
            style="bold",
        ),
    ]
    if diff.first.kind is not diff.second.kind:
        kinds = f"A has {diff.first.kind.value}, B has {diff.second.kind.value}"
        parts.append(Text(f"{kinds}: they were not read in the same way", style="yellow"))
    parts += _gone("In A and not in B", diff.vanished)
    parts += _gone("In B and not in A", diff.new)
    if diff.changed:
        fields = Counter(name for clip in diff.changed for name in clip.fields)
        table = Table("id", "differs in", title="In both", title_justify="left")
        for clip in diff.changed[:_MOST]:
            table.add_row(Text(plain(clip.id), overflow="fold"), ", ".join(clip.fields))
        parts += [table, *_more(len(diff.changed))]
        parts.append(Text("differ in: " + ", ".join(f"{n} {c}" for n, c in fields.most_common())))
    return Group(*parts, *_runs(found))


def _side(name: str, side: Side) -> str:
    sizes = Counter(side.part_of.values())
    divided = f" ({'/'.join(str(sizes[part]) for part in Part)})" if side.part_of else ""
    return f"{name}: {side.path}, {count(len(side.samples), 'clip')}{divided}, {side.kind.value}"


def _gone(title: str, clips: Sequence[Gone]) -> list[RenderableType]:
    if not clips:
        return []
    table = Table("id", "part", "why", title=title, title_justify="left")
    for clip in clips[:_MOST]:
        part = "" if clip.part is None else clip.part.value
        why = Text(plain(clip.why or "not known there"), overflow="fold")
        table.add_row(Text(plain(clip.id), overflow="fold"), part, why)
    return [table, *_more(len(clips))]


def _more(number_of: int) -> list[RenderableType]:
    left = number_of - _MOST
    return [Text(f"and {left} more; --json lists all", style="dim")] if left > 0 else []


def _runs(found: Consequences) -> list[RenderableType]:
    lines = []
    if found.num_whole:
        lines.append(f"{count(found.num_whole, 'finished run')} of these data lose no clip")
    if found.num_others:
        lines.append(f"{count(found.num_others, 'finished run')} are on other data")
    parts: list[RenderableType] = []
    if found.runs:
        table = Table(
            *("branch", "seed", "score", "all clips", "n", "shared clips", "n"),
            title="Scores of finished runs, over all test clips and over those that both have",
            title_justify="left",
        )
        for run in found.runs:
            parts.append(Text(_losses(run)))
            for score in run.scores:
                left = str(score.n_without) if score.without is not None else ""
                table.add_row(
                    *(plain(run.variant), str(run.seed), score.metric, number(score.value)),
                    *(number(score.without), str(score.n), left),
                )
        reasons = dict.fromkeys((s.metric, s.reason) for r in found.runs for s in r.scores)
        parts.append(table)
        parts += [Text(f"{name} is blank: {why}", style="dim") for name, why in reasons if why]
        parts.append(Text("a rank stays the one among all test clips of the run", style="dim"))
    elif not lines and not found.unread:
        lines.append("no finished run of either is in the results folder (--results)")
    parts += [Text(line) for line in lines]
    parts += [Text(f"not read: {plain(line)}", style="yellow") for line in found.unread]
    return parts


def _losses(run: RunWithout) -> str:
    own = [
        f"{len(run.lost[part])} of {run.sizes[part]} {part.value} clips ({run.share(part):.1%})"
        for part in Part
        if run.lost[part]
    ]
    return f"{plain(run.variant)}, seed {run.seed} ({run.run_id}) loses {', '.join(own)}"
