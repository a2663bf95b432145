"""`harness status`."""

import json
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.commands.options import AsJson, Results, print_result

if TYPE_CHECKING:
    from harness.report.terminal.looking import Look


def status(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Run, comparison or sweep: its id or name, the start of one, or a path (default: "
            "everything)."
        ),
    ] = None,
    results: Results = Path("results"),
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again every few seconds, until Ctrl-C.")
    ] = False,
    every: Annotated[
        float, typer.Option(min=0.2, help="With --watch: seconds between two looks.")
    ] = 2.0,
    all_: Annotated[
        bool, typer.Option("--all", help="Show all that is finished, not the newest five.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show how far every run, comparison and sweep is, from any terminal.

    What is shown is read from the files in the results folder: a process of this machine is looked
    up, one of another machine that shares the folder is judged by the age of its files.
    """
    from harness.report.terminal.looking import Look

    look = Look(results, name=name, most_done=None if all_ else 5)
    if not watch:
        data, view = look.now()
        print_result(view, as_json=as_json, data=data)
        return
    # Ctrl-C is how it ends; nothing was interrupted.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if as_json:
            while True:  # one line a look
                print(json.dumps(look.now()[0]), flush=True)
                time.sleep(every)
        _watch(look, every=every)
    except KeyboardInterrupt:
        return


def _watch(look: "Look", *, every: float) -> None:
    from rich.live import Live

    from harness.report.terminal.tables import console

    screen = console()
    if not screen.is_terminal:
        while True:
            screen.print(look.now()[1])
            time.sleep(every)
    with Live(console=screen, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            live.update(look.now()[1], refresh=True)
            time.sleep(every)
