"""`harness ctl`."""

import os
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.commands.options import Results

if TYPE_CHECKING:
    from harness.records.names import Named
    from harness.watch.state import State


class Request(StrEnum):
    """What is asked."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


def ctl(
    name: Annotated[
        str,
        typer.Argument(help="Run, comparison or sweep: id or name, the start of one, or a path."),
    ],
    request: Annotated[
        Request,
        typer.Argument(
            help="pause: end after a checkpoint; a comparison makes its other runs. cancel: the "
            "same, and a run counts as failed. resume: take a pause back, or go on here."
        ),
    ],
    results: Results = Path("results"),
) -> None:
    """Pause, resume or cancel what goes on in another terminal.

    It is asked by a file in the folder, which is looked at between two steps; a checkpoint is
    written before the process ends.
    """
    from core.errors import UsageError
    from harness.records import control
    from harness.records.names import named
    from harness.watch.state import State

    target = named(name, results=results)
    folder = target.folder
    state, command = _found(target, results)
    if request is Request.RESUME:
        if state in (State.RUNNING, State.SILENT):
            was_asked = control.take_back(folder)
            typer.echo(
                f"the request to {folder.name} was taken back"
                if was_asked
                else f"{folder.name} goes on already"
            )
            return
        if state is State.FINISHED:
            raise UsageError(f"{folder.name} is finished; there is nothing to go on with")
        if not command:
            raise UsageError(
                f"nobody wrote down the command of {folder.name}; give the command again that "
                "began it"
            )
        _go_on(command, results)
        return
    if state not in (State.RUNNING, State.SILENT):
        raise UsageError(
            f"{folder.name} is {state.value}, so there is nothing to {request.value}; `harness "
            "status` shows what goes on"
        )
    control.ask(folder, control.Verb(request.value))
    typer.echo(
        f"{folder.name} was asked to {request.value}: it ends after a checkpoint; `harness status "
        f"{folder.name}` shows when"
    )


def _found(target: "Named", results: Path) -> "tuple[State, str]":
    """Its state, and the command that goes on with it."""
    from harness.records.names import Kind
    from harness.report.terminal.looking import command_of
    from harness.watch.results import Watcher

    watcher = Watcher(results)
    if target.kind is Kind.COMPARISON:
        comparison = watcher.comparison(target.folder)
        return comparison.state, comparison.command
    if target.kind is Kind.SWEEP:
        sweep = watcher.sweep(target.folder)
        return sweep.state, sweep.command
    return watcher.run(target.folder).state, command_of(target.folder)


def _go_on(command: str, results: Path) -> None:
    """Become the process of the command."""
    words = shlex.split(command)
    if "--results" in words:
        words[words.index("--results") + 1] = str(results)
    typer.echo(f"harness: {shlex.join(words)}", err=True)
    os.execv(sys.executable, [sys.executable, "-m", *words])
