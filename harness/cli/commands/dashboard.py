"""`harness dashboard`."""

import signal
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.commands.options import Results


def dashboard(
    sweep: Annotated[
        str | None, typer.Argument(help="A sweep: its name, the start of its name, or its path.")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="Where the study is kept; required for PostgreSQL, whose URL is not recorded."
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 chooses a free one.")] = 0,
    results: Results = Path("results"),
) -> None:
    """Serve Optuna's dashboard of a sweep to this machine, read-only, until Ctrl-C."""
    from core.errors import UsageError
    from harness.records.folders import ResultsFolder
    from harness.records.names import named_sweep
    from harness.sweep.dashboard import HOST, storage_address
    from harness.sweep.dashboard import dashboard as served

    folder = None if sweep is None else named_sweep(sweep, results=results)
    if sweep is not None and folder is None:
        raise UsageError(f"no sweep '{sweep}' in {ResultsFolder(results).sweeps}")
    address = storage_address(folder, url=storage)

    def say(text: str) -> None:
        typer.echo(text, err=True)

    with served(address, port=port, say=say) as server:
        typer.echo(f"dashboard  http://{HOST}:{server.server_port}/  (Ctrl-C ends it)")
        # It ends so, and there is nothing to go on with.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            server.serve_forever()
