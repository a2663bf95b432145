"""What the votes say, on disk: the only thing that reports read of them."""

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from core.errors import DataError
from core.files import write_atomic
from harness.statistics.outcome import Outcome, Strength
from harness.votes.plan import Part
from harness.wording.faults import first_fault

SCHEMA_VERSION: Literal[1] = 1


class ListenerFacts(Part):
    """One listener."""

    name: str
    """What they call themselves."""
    num_votes: int
    """Answers that count, repeats and catch trials not among them."""
    catch_right: int
    """Catch trials answered right."""
    num_catch: int
    """Catch trials answered."""
    repeats_alike: int
    """Repeats answered as the first time."""
    num_repeats: int
    """Repeats of which both askings were answered."""
    left_out: str | None
    """Why none of it counts; None where it does."""
    sha256: str | None = None
    """Of their file, which is kept under it; None where it was counted before files were kept."""


class QuestionResult(Part):
    """One pair of branches, or one branch's matching against a mismatched sound."""

    kind: str
    """`branches` or `sound`."""
    first: str
    """What a vote of 1 is for: a branch."""
    second: str
    """A branch, or `mismatched`."""
    share: float
    """Of the votes for the first."""
    low: float | None
    """Lower end of the 95 % interval, for other listeners, clips and trainings; None: no factor
    has two groups."""
    high: float | None
    """Upper end."""
    p: float | None
    """Two-sided, against one half."""
    adjusted_p: float | None
    """Holm over the questions."""
    num_votes: int
    num_listeners: int
    num_clips: int
    num_trainings: int
    winner: str | None
    """The first or second where `adjusted_p` is at most 0.05 and at least three listeners voted."""
    sentence: str
    """All of it in words."""


class MetricAgreement(Part):
    """How far a per-clip metric agrees with the ears, over the trials of all questions."""

    metric: str
    """Name in the registry."""
    correlation: float
    """Spearman's, of the metric's difference and the share of votes; above 0 they agree."""
    low: float | None
    """Lower end of its 95 % bootstrap interval, clips and listeners drawn anew."""
    high: float | None
    """Upper end."""
    num_trials: int
    """Trials with a value of both images."""


class VotesVerdict(Part):
    """The comparison's verdict where it rests on votes; its metric's verdict stays beside it."""

    outcome: Outcome
    """Win: one branch is preferred to every other one. Undecided: anything else."""
    winner: str | None
    """The branch that wins."""
    strength: Strength
    """Exploratory: too few trainings or listeners, or votes that no plan named as deciding."""
    sentence: str
    """The verdict."""
    estimate: str
    """Shares of the branch with the most votes, with intervals."""
    claim: str
    """What the strength means."""
    next_step: str
    """What would settle it."""
    command: str | None
    """A line for the shell; None where none settles it."""
    is_planned: bool
    """Whether the plan said before the first vote that they decide."""
    num_planned: int | None
    """Listeners at which it was planned to decide."""
    run_ids: tuple[str, ...]
    """Runs of the comparison when they were scored; of others it decides nothing."""
    decided_at: tuple[int, ...]
    """Numbers of listeners at which it was decided, this time and before."""


class VotesRecord(Part):
    """Votes on one comparison, scored."""

    schema_version: Literal[1] = SCHEMA_VERSION
    """Format of this record."""
    comparison: str
    plan_id: str
    """What was asked."""
    most_catch_misses: int
    """The rule by which listeners were left out, set in the plan."""
    listeners: tuple[ListenerFacts, ...]
    questions: tuple[QuestionResult, ...]
    reliability: float | None
    """Share of repeats answered as the first time, over the listeners who count; None without
    repeats. 0.5 is guessing."""
    num_repeats: int
    """Behind it."""
    agreement: tuple[MetricAgreement, ...]
    verdict: VotesVerdict | None = None
    """Where the verdict rests on votes."""
    notices: tuple[str, ...] = ()

    @property
    def num_counted(self) -> int:
        """Listeners whose votes count."""
        return sum(one.left_out is None for one in self.listeners)

    def save(self, path: Path) -> None:
        """Write it. Raises: NoSpaceError."""
        write_atomic(path, content=(self.model_dump_json(indent=2) + "\n").encode())


def load_votes(path: Path) -> VotesRecord:
    """The scored votes in a file.

    Raises: DataError.
    """
    try:
        return VotesRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"no scored votes at {path} ({error.strerror})") from None
    except ValidationError as error:
        raise DataError(f"{path} does not hold scored votes: {first_fault(error)}") from None
