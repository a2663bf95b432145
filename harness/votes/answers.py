"""A listener's file, read with suspicion: it comes from anyone's browser."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError

from core.errors import DataError, MismatchError
from harness.votes.plan import Part, Trial, VotePlan

FORMAT: Literal["branch-harness votes 1"] = "branch-harness votes 1"
_MOST_BYTES = 2_000_000
_MOST_ANSWERS = 5_000
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)]
Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}$")]


class Answer(Part):
    """One answer."""

    trial: Id
    """Id of the trial."""
    side: Literal["left", "right"]
    """Which image was chosen."""
    seconds: float = Field(ge=0, le=86_400)
    """From the sound's first second to the choice."""
    plays: int = Field(ge=0, le=10_000)
    """How often the sound was started."""


class VoteFile(Part):
    """All answers of one listener."""

    format: Literal["branch-harness votes 1"]
    plan: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
    """Id of the plan that was answered."""
    listener: Name
    """What the listener calls themselves; no more is known of them."""
    started_at: Annotated[str, StringConstraints(max_length=40)]
    """By the browser's clock."""
    answers: tuple[Answer, ...] = Field(max_length=_MOST_ANSWERS)
    """In the order in which they were given."""

    def chosen(self, plan: VotePlan) -> dict[str, bool]:
        """Whether the first image was chosen, by the id of each answered trial."""
        by_id: dict[str, Trial] = {trial.id: trial for trial in plan.trials}
        return {
            answer.trial: (answer.side == "left") == by_id[answer.trial].is_first_left
            for answer in self.answers
        }


def read_votes(path: Path) -> VoteFile:
    """The file of one listener, by itself.

    Raises: DataError for a file that is not one, with what is wrong in it.
    """
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise DataError(f"{path} has {size:,} bytes; a vote file has at most {_MOST_BYTES:,}")
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not a vote file: {_first_line(error)}") from None
    try:
        found = VoteFile.model_validate(content, strict=False)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part)[:40] for part in first["loc"][:4]) or "the file"
        raise DataError(f"{path} is not a vote file: {place}: {first['msg'][:200]}") from None
    ids = [answer.trial for answer in found.answers]
    if len(set(ids)) < len(ids):
        raise DataError(
            f"{path} answers a trial twice; ask its listener for the file as it was saved"
        )
    if not found.listener.isprintable():
        raise DataError(f"{path}: the listener's name has characters that cannot be printed")
    return found


def require_fit(files: Sequence[tuple[Path, VoteFile]], *, plan: VotePlan) -> None:
    """Return if all files answer this plan, each by another listener.

    Raises:
        MismatchError: a file answers another plan, or a trial that the plan does not have.
        DataError: two files of one listener.
    """
    known = {trial.id for trial in plan.trials}
    seen: dict[str, Path] = {}
    plan_id = plan.plan_id
    for path, votes in files:
        if votes.plan != plan_id:
            raise MismatchError(
                f"{path} answers plan {votes.plan}, not {plan_id} of {plan.comparison}"
            )
        unknown = [answer.trial for answer in votes.answers if answer.trial not in known]
        if unknown:
            raise MismatchError(f"{path} answers trial {unknown[0]}, which was never asked")
        name = votes.listener.casefold()
        if name in seen:
            raise DataError(
                f"{path} and {seen[name]} are both of listener '{votes.listener}'; each listener "
                "counts once: leave one file out, or rename the listener in it"
            )
        seen[name] = path


def _first_line(error: Exception) -> str:
    words = str(error).splitlines()
    return words[0][:200] if words else type(error).__name__
