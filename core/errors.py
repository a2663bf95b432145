"""Errors a user can cause or meet, each with the exit code it ends a command with.

The command line prints `str(error)` and exits with `error.exit_code`; it shows no traceback.
Every message says what was got, what was expected and what to do next.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class HarnessError(Exception):
    """Base of every error that is reported as a sentence."""

    exit_code = 1


class UsageError(HarnessError):
    """A name, key or value the user gave is not one we know."""

    exit_code = 2


class DataError(HarnessError):
    """The data a user pointed at cannot be used as it is."""

    exit_code = 65


class MissingWeightsError(HarnessError):
    """A pretrained part is neither in the given folder nor in the local hub cache."""

    exit_code = 66


class StorageAwayError(HarnessError):
    """A sweep's database or the results' store cannot be used; the same command goes on later."""

    exit_code = 69


class GuardError(HarnessError):
    """A preflight check or a guard found that the run would be void."""

    exit_code = 70


class NoSpaceError(HarnessError):
    """The disk is full; what was on it before is intact."""

    exit_code = 74


class BusyError(HarnessError):
    """Another process holds this run."""

    exit_code = 75


class LimitReachedError(HarnessError):
    """A limit on hours or dollars was reached; what is done is kept, to be gone on with."""

    exit_code = 76


class PausedError(HarnessError):
    """Another terminal asked for a pause; what is done is kept, to be gone on with."""

    exit_code = 77


class CancelledError(HarnessError):
    """Another terminal asked for an end; the run counts as failed, its checkpoint is kept."""

    exit_code = 77


class MismatchError(HarnessError):
    """Something on disk was made with other settings, data or code than asked for."""

    exit_code = 78


class StoppedBySignal(SystemExit):
    """A signal ends the process: an exit that no code of a plug-in raises."""


def suggestion(name: str, known: Iterable[str], *, cutoff: float = 0.5) -> str:
    """`; did you mean 'x'?` for the closest known name, or an empty string.

    cutoff: least similarity, 0 to 1 (`difflib`'s ratio); a typing error has above 0.85.
    """
    close = get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f"; did you mean '{close[0]}'?" if close else ""
