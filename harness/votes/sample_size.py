"""How many listeners a ballot takes, before anyone votes; as seeds are planned before training."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import UsageError
from harness.statistics.crossed_votes import VoteSpread, listeners_for, winning_share
from harness.statistics.outcome import MIN_SEEDS_FOR_A_WIN
from harness.votes.plan import Kind, Trial
from harness.wording.numbers import count

_LISTENERS = (3, 5, 10, 20, 40)
_MOST = 500


@dataclass(frozen=True)
class BallotSize:
    """What a ballot asks of each listener, question by question."""

    num_questions: int
    """Pairs of branches, or branches."""
    num_branches: int
    """Branches that are told apart; 2 where each question stands alone."""
    clips: int
    """Of each question."""
    trainings: int
    """Of each question, at most."""
    spread: VoteSpread
    """What is assumed of listeners, clips and trainings."""

    @property
    def _asked(self) -> str:
        return f"{count(self.clips, 'clip')} and {count(self.trainings, 'training')}"

    def winning_share(self, listeners: int) -> float:
        """True share with which a branch wins in 80 % of cases, against each other one."""
        return winning_share(
            num_branches=self.num_branches,
            listeners=listeners,
            clips=self.clips,
            trainings=self.trainings,
            votes_per_listener=self.clips,
            spread=self.spread,
        )

    def table(self) -> dict[int, float]:
        """The same for the usual numbers of listeners."""
        return {listeners: self.winning_share(listeners) for listeners in _LISTENERS}

    def listeners_for(self, share: float) -> int:
        """Fewest listeners that find a true share in 80 % of cases.

        Raises: UsageError where no number of them does.
        """
        if not 0.5 < share < 1:
            raise UsageError(f"--find {share:g}; expected a share above 0.5 and below 1")
        found = listeners_for(
            share,
            clips=self.clips,
            trainings=self.trainings,
            votes_per_listener=self.clips,
            spread=self.spread,
            num_branches=self.num_branches,
            most=_MOST,
        )
        if found is None:
            least = self.winning_share(_MOST)
            raise UsageError(
                f"no number of listeners finds a share of {share:.0%} with {self._asked} per "
                f"question: {_MOST} of them find {least:.0%}. Raise --trials, or compare more seeds"
            )
        return found

    def sentences(self) -> list[str]:
        """The table in words, with what it assumes."""
        shares = ", ".join(f"{n}: {share:.0%}" for n, share in self.table().items())
        spread = self.spread
        what = "a branch wins where listeners truly prefer it to each other one by"
        if self.num_branches == 2 and self.num_questions > 1:
            what = "one question is decided where the true share is"
        lines = [
            f"in 80 % of cases {what} at least, by number of listeners:",
            shares,
            f"(assumed standard deviations of a share: listeners {spread.listeners:g}, clips "
            f"{spread.clips:g}, trainings {spread.trainings:g}; {self._asked} per question)",
        ]
        if self.trainings < MIN_SEEDS_FOR_A_WIN:
            lines.append(
                f"note: below {MIN_SEEDS_FOR_A_WIN} trainings no verdict rests on votes, however "
                "many listeners"
            )
        return lines


def ballot_size(main: Sequence[Trial], *, spread: VoteSpread | None = None) -> BallotSize:
    """Of the trials that count."""
    by_question: dict[tuple[str, str, str], list[Trial]] = {}
    for trial in main:
        by_question.setdefault(trial.question, []).append(trial)
    names = {name for trial in main for name in (trial.first.name, trial.second.name)}
    return BallotSize(
        num_questions=len(by_question),
        num_branches=len(names) if main[0].kind is Kind.BRANCHES else 2,
        clips=max(2, min(len({t.sample_id for t in own}) for own in by_question.values())),
        trainings=min(len({t.seed for t in own}) for own in by_question.values()),
        spread=spread or VoteSpread(),
    )
