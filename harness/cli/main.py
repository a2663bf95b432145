"""The command line. Heavy imports stay inside the commands, so that --help answers at once."""

import errno
import io
import json
import os
import signal
import sys

import typer

from core.errors import HarnessError, NoSpaceError, StoppedBySignal, UsageError
from core.training.interrupts import let_go_of_terminal
from harness.cli.commands import (
    bundle,
    clean,
    compare,
    convert,
    ctl,
    dashboard,
    data,
    demo,
    diff,
    doctor,
    edit,
    export,
    features,
    generate,
    launch,
    mirror,
    pack,
    plan,
    probe,
    report,
    runs,
    score,
    scorers,
    status,
    sweep,
    variants,
    vote,
    weights,
)
from harness.cli.paths import with_home_folders
from harness.wording.plain_text import plain

EXIT_CODES = (
    "Exit codes: 0 done (also: undecided), 1 failed (also: every run of a compared branch), 2 "
    "wrong usage, 65 unusable data, 66 missing weights, 69 a sweep's database or a store cannot "
    "be reached, 70 a guard stopped the run, 74 disk full, 75 the run is held by another "
    "process, 76 a limit on hours or dollars was reached (resumable), 77 paused or cancelled by "
    "`harness ctl`, 78 a file on disk does not match, 129, 130 and 143 stopped by a closed "
    "terminal, Ctrl-C and SIGTERM (resumable)."
)

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

app.command()(runs.run)
app.command()(plan.plan)
app.command()(doctor.doctor)
app.command("list")(runs.list_)
app.command("show")(runs.show_)
app.command()(status.status)
app.command()(ctl.ctl)
app.command()(diff.diff)
app.command()(compare.compare)
app.command()(score.score)
app.command()(sweep.sweep)
app.command()(report.report)
app.command()(bundle.bundle)
app.command()(bundle.verify)
app.command()(clean.clean)
app.command()(pack.pack)
app.command()(pack.unpack)
app.command()(launch.launch)
app.command("keep", hidden=True)(launch.keep)
app.command()(generate.generate)
app.command()(edit.edit)
app.command()(export.export)
app.command()(probe.probe)
app.command()(vote.vote)
app.command()(demo.demo)
app.command()(mirror.mirror)
app.command()(dashboard.dashboard)
app.command()(features.features)
app.command()(weights.weights)
app.add_typer(data.data_app)
app.add_typer(convert.app)
app.add_typer(scorers.app)
app.command("new-variant")(variants.new_variant)


def main() -> None:
    """Entry point: mistakes end in a sentence and a documented exit code."""
    # Models come from the local cache; a library that asks the hub, or a third party, could bring
    # others than were recorded. `harness weights get` alone fetches.
    if sys.argv[1:2] != ["weights"]:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    # A missing model is our sentence, not a retry loop of the hub client's progress bars.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    # Every weight is checked on loading, so the libraries' own notes only alarm.
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # nohup ignores it, and so do we then
        signal.signal(signal.SIGHUP, _stop)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started us (`>&-`), as services do
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that the console's encoding lacks is escaped, and ends no command.
            stream.reconfigure(errors="backslashreplace")
    try:
        sys.argv[1:] = with_home_folders(sys.argv[1:])
        app()
    except SystemExit as stop:
        if stop.code == UsageError.exit_code:  # the parser has said what on standard error
            _print_failure("the command line cannot be read", UsageError.exit_code)
        raise
    except HarnessError as error:
        _fail(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        from harness.run.libraries import FOR_TRAINING

        if error.name not in FOR_TRAINING:
            raise
        _fail(
            f"this command needs {error.name}, which is not installed; "
            "pip install 'branch-harness[train]' brings what trains and samples",
            UsageError.exit_code,
        )
    except MemoryError as error:
        detail = f" ({error})" if str(error) else ""
        _fail(
            f"not enough memory{detail}; choose a smaller batch or window, or a larger machine", 1
        )
    except OSError as error:
        if error.strerror is None:
            raise
        where = " a file" if error.filename is None else f" {error.filename}"
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        _fail(f"cannot use{where}: {error.strerror}", NoSpaceError.exit_code if full else 1)


def _stop(number: int, frame: object) -> None:
    # As an exit, so that locks are let go and half-written files removed on the way out.
    name = signal.Signals(number).name
    if number == signal.SIGHUP:
        let_go_of_terminal()
    _tell(f"stopped by {name}; run the same command again to go on", 128 + number)
    raise StoppedBySignal(128 + number)


def _fail(message: str, exit_code: int) -> None:
    _tell(message, exit_code)
    sys.exit(exit_code)


def _tell(message: str, exit_code: int) -> None:
    # Names of files stand in it: they must not clear or colour the user's terminal.
    for number, line in enumerate(message.split("\n")):
        print(plain(line) if number else f"harness: {plain(line)}", file=sys.stderr)
    _print_failure(message, exit_code)


def _print_failure(message: str, exit_code: int) -> None:
    """One JSON object for the script that asked for one, whichever command failed."""
    if "--json" in sys.argv[1:]:
        print(json.dumps({"error": message, "exit_code": exit_code}, indent=2))


if __name__ == "__main__":
    main()
