"""What goes on in a results folder, on a terminal: a row per run, or lines where it is narrow."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.watch.state import ComparisonStatus, RunStatus, Snapshot, State, SweepStatus
from harness.wording.numbers import count, duration
from harness.wording.plain_text import plain

_NARROW = 110
"""Columns below which a run takes a few lines instead of a row."""
_WIDE = 132
"""Columns from which a row has room for the device, which else has a line of its own."""
_STYLES = {
    State.RUNNING: "green",
    State.SILENT: "yellow",
    State.WAITING: "dim",
    State.INTERRUPTED: "yellow",
    State.PAUSED: "yellow",
    State.FAILED: "red",
    State.UNREADABLE: "red",
}


def status_view(found: Snapshot, *, width: int, most_done: int | None = 5) -> RenderableType:
    """Everything that goes on, and the newest of what is done.

    most_done: how many finished runs, comparisons and sweeps of each are shown; None: all.
    """
    parts: list[RenderableType] = [Text(_headline(found), style="bold")]
    left_out = 0
    shown: set[str] = set()
    num_done = 0
    for comparison in found.comparisons:
        num_done += comparison.state is State.FINISHED
        if most_done is not None and num_done > most_done:
            left_out += comparison.state is State.FINISHED
            if comparison.state is State.FINISHED:
                continue
        parts += [Text(""), comparison_view(comparison, width=width)]
        shown |= {run.run_id for run in comparison.runs}
    for sweep in found.sweeps:
        parts += [Text(""), sweep_view(sweep, width=width)]
        shown |= set(sweep.trial_ids)
    rest = [run for run in found.runs if run.run_id not in shown]
    done = [run for run in rest if run.state is State.FINISHED]
    kept = done if most_done is None else done[:most_done]
    left_out += len(done) - len(kept)
    rest = [run for run in rest if run.state is not State.FINISHED] + kept
    if rest:
        if len(parts) > 1:
            parts += [Text(""), Text("other runs", style="bold")]
        parts.append(runs_view(rest, width=width))
    if left_out:
        parts += [Text(""), Text(f"and {left_out} more that are finished; --all shows them")]
    if len(parts) == 1:
        parts.append(Text(f"nothing in {found.results} yet; start with: harness run"))
    return Group(*parts)


def comparison_view(found: ComparisonStatus, *, width: int) -> RenderableType:
    """A comparison and its runs."""
    head = _head(found.name, found.state)
    parts: list[RenderableType] = [head]
    words = []
    if found.runs:
        words.append(f"{found.num_done} of {count(len(found.runs), 'run')} done")
    if found.seconds_left is not None:
        words.append(f"{duration(found.seconds_left)} left")
    elif found.state is State.RUNNING:
        words.append("time left not known yet")
    if found.dollars is not None:
        words.append(f"${found.dollars:,.2f} so far")
    if words:
        parts.append(_indented(", ".join(words)))
    parts += _notes(found.note, verdict=found.verdict if not _is_going(found.state) else None)
    if found.runs and found.state is not State.FINISHED:
        parts.append(runs_view(found.runs, width=width))
    if found.state in (State.INTERRUPTED, State.PAUSED, State.FAILED) and found.command:
        parts.append(_indented(f"go on: {plain(found.command)}"))
    return Group(*parts)


def sweep_view(found: SweepStatus, *, width: int) -> RenderableType:
    """A sweep, and the trials that go on."""
    parts: list[RenderableType] = [_head(found.name, found.state)]
    words = [f"{plain(n)} {done} of {asked} trials" for n, (done, asked) in found.branches.items()]
    if found.seconds_left is not None:
        words.append(f"{duration(found.seconds_left)} left")
    if found.dollars is not None:
        words.append(f"${found.dollars:,.2f} so far")
    if words:
        parts.append(_indented(", ".join(words)))
    parts += _notes(found.note, verdict=None)
    if found.trials:
        parts.append(runs_view(found.trials, width=width))
    if found.state in (State.INTERRUPTED, State.PAUSED, State.FAILED) and found.command:
        parts.append(_indented(f"go on: {plain(found.command)}"))
    return Group(*parts)


def runs_view(runs: Sequence[RunStatus], *, width: int) -> RenderableType:
    """Runs as a table, or as two lines each."""
    return _lines(runs) if width < _NARROW else _table(runs, has_device=width >= _WIDE)


def run_view(run: RunStatus, *, command: str = "") -> RenderableType:
    """All that is known of one run that has no record yet."""
    rows = [
        ("at", _where(run)),
        ("step", _step(run)),
        ("speed", _rate(run)),
        ("left", _left(run)),
        ("numbers", ", ".join(_numbers(run))),
        ("device", " on ".join(word for word in (run.device, run.host) if word)),
        ("spent", ", ".join(_spent(run))),
        ("folder", run.folder),
        ("go on", command),
    ]
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        if value:
            table.add_row(name, Text(plain(value)))
    return Group(_head(run.run_id, run.state), *_notes(run.note, verdict=None), table)


# Words ------------------------------------------------------------------------------------


def _headline(found: Snapshot) -> str:
    states = [run.state for run in found.runs]
    counted = [
        f"{states.count(state)} {state.value}"
        for state in State
        if state in states and state is not State.WAITING
    ]
    return f"{found.results}  {found.at[11:19]} UTC  runs: {', '.join(counted) or 'none'}"


def _head(name: str, state: State) -> Text:
    head = Text()
    head.append(plain(name), style="bold")
    head.append("  ")
    head.append(state.value, style=_STYLES.get(state, ""))
    return head


def _notes(note: str, *, verdict: str | None) -> list[RenderableType]:
    found = [_indented(plain(note), style="yellow")] if note else []
    return [*found, _indented(plain(verdict))] if verdict else found


def _indented(words: str, *, by: int = 2, style: str = "") -> RenderableType:
    """A sentence whose every line is indented, also where the terminal is too narrow for it."""
    return Padding(Text(words, style=style, overflow="fold"), (0, 0, 0, by))


def _is_going(state: State) -> bool:
    return state in (State.RUNNING, State.SILENT)


def _where(run: RunStatus) -> str:
    """What goes on, or how far it has got."""
    if run.state is State.FINISHED:
        return "" if run.value is None else f"listening rank {run.value:.3f}"
    if run.phase is None:
        return ""
    return f"{run.phase} {run.done}/{run.total}" if run.total else run.phase


def _step(run: RunStatus) -> str:
    """Optimiser steps of the whole schedule."""
    if run.state is State.FINISHED or run.step is None:
        return ""
    return f"{run.step}/{run.total_steps}"


def _rate(run: RunStatus) -> str:
    if run.rate is None:
        return ""
    return f"{run.rate:.2g}/s" if run.rate >= 0.1 else f"{1 / run.rate:.3g} s each"


def _left(run: RunStatus) -> str:
    return "" if run.seconds_left is None else f"{duration(run.seconds_left)} of {run.left_of} left"


def _numbers(run: RunStatus) -> list[str]:
    words = [] if run.loss is None else [f"loss {run.loss:.4f}"]
    if run.validation_loss is not None:
        words.append(f"val {run.validation_loss:.4f}")
    gates = _gates(run)
    return [*words, f"gates {gates}"] if gates else words


def _gates(run: RunStatus) -> str:
    if run.gates is None:
        return ""
    low, high = run.gates
    return f"{low:.2f}" if high - low < 0.005 else f"{low:.2f}..{high:.2f}"


def _spent(run: RunStatus) -> list[str]:
    words = [] if run.seconds is None else [duration(run.seconds)]
    if run.dollars is not None:
        words.append(f"${run.dollars:,.2f}")
    if run.num_sessions > 1:
        words.append(f"{run.num_sessions} processes")
    return words


def _lines(runs: Sequence[RunStatus]) -> RenderableType:
    lines: list[RenderableType] = []
    for run in runs:
        head = Text("  ")
        head.append_text(_head(run.run_id, run.state))
        lines.append(head)
        if run.state is State.WAITING:
            continue
        spent = " ".join(_spent(run))
        for words in (
            [_where(run), _step(run) and f"step {_step(run)}", _rate(run)],
            [_left(run), spent and f"spent {spent}", run.device or ""],
            _numbers(run) if run.state is not State.FINISHED else [],
        ):
            if told := ", ".join(word for word in words if word):
                lines.append(_indented(plain(told), by=4))
        if run.note:
            lines.append(_indented(plain(run.note), by=4, style="yellow"))
    return Group(*lines)


def _table(runs: Sequence[RunStatus], *, has_device: bool) -> RenderableType:
    columns = "  run", "state", "at", "step", "speed", "left", "loss", "val", "gates", "spent", "$"
    table = Table(*columns, *(["device"] if has_device else []), box=None, pad_edge=False)
    for column in table.columns[:11]:
        column.no_wrap = True
    notes: list[RenderableType] = []
    for run in runs:
        is_done = run.state is State.FINISHED
        numbers = [run.loss, run.validation_loss] if not is_done else [None, None]
        table.add_row(
            Text(f"  {plain(run.run_id)}"),
            Text(run.state.value, style=_STYLES.get(run.state, "")),
            Text(plain(_where(run))),
            _step(run),
            _rate(run),
            "" if run.seconds_left is None else duration(run.seconds_left),
            *("" if value is None else f"{value:.4f}" for value in numbers),
            "" if is_done else _gates(run),
            duration(run.seconds),
            "" if run.dollars is None else f"{run.dollars:,.2f}",
            *([Text(plain(run.device or ""))] if has_device else []),
        )
        if run.note:
            notes.append(_indented(f"{plain(run.run_id)}: {plain(run.note)}", style="yellow"))
    devices = dict.fromkeys(run.device for run in runs if run.device)
    if devices and not has_device:
        notes.insert(0, _indented(f"on {plain(', '.join(map(str, devices)))}"))
    return Group(table, *notes)
