"""The command line. Heavy imports stay inside the commands, so that --help answers at once."""

import errno
import json
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from core.errors import HarnessError, NoSpaceError

EXIT_CODES = """
Exit codes: 0 done (also: undecided), 1 failed, 2 wrong usage, 65 unusable data, 66 missing
weights, 70 a guard refused the run, 74 disk full, 75 the run is held by another process, 78
something on disk does not fit, 130 and 143 stopped by Ctrl-C and SIGTERM (resumable).
"""

app = typer.Typer(
    name="harness",
    help="Is my branch really better? Trains conditioning branches of an audio-to-image model on "
    "one balanced split with the same seeds, noise and budget, and compares their scores.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

Variant = Annotated[str, typer.Option(help="Branch to run; `harness list` names them.")]
ProfileOption = Annotated[str, typer.Option(help="tiny, sd15, or the path of a TOML file.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one setting, like stage2.lr=3e-5."),
]
Data = Annotated[
    str | None, typer.Option(help="A folder of audio-image pairs, or a lock file of a split.")
]
Results = Annotated[Path, typer.Option(help="Folder of runs, caches and reports.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@app.command()
def run(
    variant: Variant,
    profile: ProfileOption = "tiny",
    seed: Annotated[int, typer.Option(help="Seed of training and sampling.")] = 0,
    set_: Set = None,
    data: Data = None,
    results: Results = Path("results"),
    as_json: AsJson = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would run, and stop.")
    ] = False,
) -> None:
    """Train a branch through its three stages and score it on the test clips.

    A finished run is returned at once, an unfinished one goes on from its last checkpoint.
    """
    from harness import run as runs
    from harness import show
    from harness.progress import open_display

    request = runs.RunRequest(variant, profile, seed, tuple(set_ or ()), data, results)
    with open_display() as display:
        if dry_run:
            planned = runs.plan_run(request, display=display)
            _print(show.plan(planned), as_json=as_json, data=show.plan_data(planned))
            return
        record = runs.run(request, display=display)
    path = results / "runs" / record.run_id / "record.json"
    payload = {
        "run_id": record.run_id,
        "record": str(path),
        "status": record.status.value,
        "metrics": record.metrics,
    }
    _print(show.record(record, folder=path.parent), as_json=as_json, data=payload)


@app.command("list")
def list_(
    profile: ProfileOption = "tiny",
    results: Results = Path("results"),
    runs: Annotated[bool, typer.Option("--runs", help="List the runs instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the branches, with what each trains at the profile's size, or the runs so far."""
    from harness import show

    if runs:
        _print(show.runs(results), as_json=as_json, data=show.runs_data(results))
        return
    from harness.listing import describe_variants

    described = describe_variants(profile)
    _print(show.variants(described), as_json=as_json, data=[v.data() for v in described])


@app.command("show")
def show_(
    run: Annotated[str, typer.Argument(help="Run id, the start of one, or a path.")],
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Show everything about one run."""
    from harness import show
    from harness.records import find_record

    record = find_record(run, results=results)
    folder = results / "runs" / record.run_id
    _print(show.record(record, folder=folder), as_json=as_json, data=record.model_dump(mode="json"))


@app.command()
def compare(
    variants: Annotated[
        str, typer.Option(help="Branches, comma-separated.")
    ] = "baseline,sonic,cutting_edge",
    seeds: Annotated[int, typer.Option(min=1, help="Seeds 0 to N-1 for each branch.")] = 3,
    profile: ProfileOption = "tiny",
    set_: Set = None,
    data: Data = None,
    results: Results = Path("results"),
    metric: Annotated[
        str, typer.Option(help="The one metric the verdict rests on.")
    ] = "listening_rank",
    jobs: Annotated[
        int, typer.Option(min=0, help="Runs at a time; 0 is one a core, or one on a GPU.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Train the branches that are not trained yet, pair them by seed and clip, and compare."""
    from harness import show
    from harness.compare import CompareRequest
    from harness.compare import compare as compare_runs
    from harness.progress import open_display

    names = tuple(name.strip() for name in variants.split(",") if name.strip())
    request = CompareRequest(
        names, seeds, profile, tuple(set_ or ()), data, results, metric=metric, jobs=jobs
    )
    with open_display() as display:
        comparison = compare_runs(request, display=display)
    _print(show.comparison(comparison), as_json=as_json, data=comparison.data())


def _print(view: Any, *, as_json: bool, data: Any) -> None:
    if as_json:
        print(json.dumps(data, indent=2, allow_nan=False))
        return
    from harness.show import console

    console().print(view)


def main() -> None:
    """Entry point: mistakes end in a sentence and a documented exit code."""
    # A missing model is our sentence, not a retry loop of the hub client's progress bars.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    # Every weight is checked on loading, so the libraries' own notes only alarm.
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # nohup ignores it, and so do we then
        signal.signal(signal.SIGHUP, _stop)
    try:
        app()
    except HarnessError as error:
        _fail(str(error), error.exit_code)
    except OSError as error:
        if error.strerror is None:
            raise
        where = "" if error.filename is None else f" {error.filename}"
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        _fail(f"cannot use{where}: {error.strerror}", NoSpaceError.exit_code if full else 1)


def _stop(number: int, frame: object) -> None:
    # As an exit, so that locks are let go and half-written files removed on the way out.
    name = signal.Signals(number).name
    _fail(f"stopped by {name}; run the same command again to go on", 128 + number)


def _fail(message: str, exit_code: int) -> None:
    print(f"harness: {message}", file=sys.stderr)
    sys.exit(exit_code)


if __name__ == "__main__":
    main()
