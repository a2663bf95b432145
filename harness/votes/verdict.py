"""A comparison's verdict by listeners' votes: the same gates as on a metric, and theirs."""

import shlex
from collections.abc import Sequence
from itertools import combinations

from core.errors import UsageError
from harness.comparison.record import ComparisonRecord
from harness.statistics.crossed_votes import VoteSpread, listeners_for
from harness.statistics.outcome import MIN_LISTENERS, MIN_SEEDS_FOR_A_WIN, Outcome, Strength
from harness.votes.plan import Kind, VotePlan
from harness.votes.record import QuestionResult, VotesRecord, VotesVerdict
from harness.wording.numbers import count, few, listed, percent

_MOST_OTHERS = 3


def votes_verdict(
    scored: VotesRecord,
    *,
    plan: VotePlan,
    record: ComparisonRecord,
    earlier: Sequence[int] = (),
) -> VotesVerdict:
    """What the votes decide between the comparison's branches.

    A branch wins where it is found (Holm, 5 %) to be preferred to every other one, with at least
    six trainings as on any metric. Votes that no plan named as deciding, or that were decided
    before with other listeners, leave the outcome exploratory.

    earlier: numbers of listeners at which these votes were decided before.

    Raises: UsageError for votes that did not ask about branches.
    """
    own = [question for question in scored.questions if question.kind == Kind.BRANCHES]
    if not own and any(trial.kind is Kind.SOUND for trial in plan.trials):
        raise UsageError(
            "these votes ask about matching and mismatched sounds, so they decide nothing between "
            "branches; ask with harness vote --kind branches"
        )
    num_listeners = scored.num_counted
    obstacle = _obstacle(own, plan=plan, record=record, num_listeners=num_listeners)
    winner = None if obstacle is not None else _winner(own, branches=record.branches)
    decided_at = tuple(sorted({*earlier, *([] if obstacle else [num_listeners])}))
    outcome = Outcome.UNDECIDED if winner is None else Outcome.WIN
    others = [n for n in decided_at if n != num_listeners]
    if obstacle is not None or not plan.decides or others:
        strength = Strength.EXPLORATORY
    else:
        strength = Strength.CONFIRMED if winner else Strength.NONE
    step, command = _next_step(
        own, plan=plan, record=record, outcome=outcome, num_listeners=num_listeners
    )
    return VotesVerdict(
        outcome=outcome,
        winner=winner,
        strength=strength,
        sentence=obstacle or _sentence(own, winner=winner, num_listeners=num_listeners),
        estimate=_estimate(own, record=record, winner=winner),
        claim=_claim(
            own,
            plan=plan,
            strength=strength,
            has_obstacle=obstacle is not None,
            others=others,
            num_listeners=num_listeners,
        ),
        next_step=step,
        command=command,
        is_planned=plan.decides,
        num_planned=plan.num_listeners,
        run_ids=tuple(run.run_id for run in record.runs),
        decided_at=decided_at,
    )


def _obstacle(
    own: Sequence[QuestionResult],
    *,
    plan: VotePlan,
    record: ComparisonRecord,
    num_listeners: int,
) -> str | None:
    """Why nothing can be decided yet; None where it can."""
    if record.failed:
        names = {run.branch for run in record.runs if run.run_id in record.failed}
        return (
            f"undecided: runs of {listed(sorted(names))} failed, and a failed run is not left out"
        )
    asked = {frozenset((question.first, question.second)) for question in own}
    missing = [pair for pair in combinations(record.branches, 2) if frozenset(pair) not in asked]
    if not own:
        return "undecided: no vote counts"
    if missing:
        return f"undecided: nobody voted on {few([' against '.join(pair) for pair in missing])}"
    least = plan.num_listeners or MIN_LISTENERS
    if num_listeners < least:
        planned = "planned " if plan.num_listeners else ""
        return (
            f"undecided: {num_listeners} of {count(least, f'{planned}listener')} "
            f"{'counts' if num_listeners == 1 else 'count'} so far"
        )
    trainings = min(question.num_trainings for question in own)
    if trainings < MIN_SEEDS_FOR_A_WIN:
        are = "is" if trainings == 1 else "are"
        return (
            f"undecided: {count(trainings, 'seed')} {are} exploratory, a win by votes needs at "
            f"least {MIN_SEEDS_FOR_A_WIN}"
        )
    return None


def _winner(own: Sequence[QuestionResult], *, branches: Sequence[str]) -> str | None:
    for name in branches:
        pairs = [question for question in own if name in (question.first, question.second)]
        if pairs and all(question.winner == name for question in pairs):
            return name
    return None


def _sentence(own: Sequence[QuestionResult], *, winner: str | None, num_listeners: int) -> str:
    listeners = count(num_listeners, "listener")
    if winner is not None:
        seeds = min(question.num_trainings for question in own)
        return f"{winner} wins by the votes of {listeners} over {seeds} seeds"
    decided = sum(question.winner is not None for question in own)
    if decided:
        return (
            f"undecided: the votes of {listeners} single out no branch; {decided} of {len(own)} "
            f"pairs {'is' if decided == 1 else 'are'} decided"
        )
    return f"undecided: the votes of {listeners} do not separate the branches"


def _share(question: QuestionResult, name: str) -> float:
    return question.share if question.first == name else 1 - question.share


def _estimate(
    own: Sequence[QuestionResult], *, record: ComparisonRecord, winner: str | None
) -> str:
    """The shares of the branch that is preferred most, nearest rival first."""
    if not own:
        return "There is no estimate: no vote counts."

    def mean(name: str) -> float:
        pairs = [question for question in own if name in (question.first, question.second)]
        return sum(_share(q, name) for q in pairs) / len(pairs) if pairs else 0.0

    best = winner or max(record.branches, key=mean)
    pairs = sorted(
        (question for question in own if best in (question.first, question.second)),
        key=lambda question: _share(question, best),
    )
    parts = []
    for question in pairs[:_MOST_OTHERS]:
        other = question.second if question.first == best else question.first
        interval = ""
        if question.low is not None and question.high is not None:
            ends = (question.low, question.high)
            low, high = ends if question.first == best else (1 - ends[1], 1 - ends[0])
            interval = f" ({percent(low)} to {percent(high)})"
        parts.append(f"{percent(_share(question, best))} over {other}{interval}")
    return (
        f"Of the votes, {best} has {'; '.join(parts)}. In brackets: 95 % intervals for other "
        "listeners, trainings and clips."
    )


def _claim(
    own: Sequence[QuestionResult],
    *,
    plan: VotePlan,
    strength: Strength,
    has_obstacle: bool,
    others: Sequence[int],
    num_listeners: int,
) -> str:
    if has_obstacle:
        return "Nothing is claimed by votes yet."
    if strength is Strength.NONE:
        return (
            "Nothing is established by votes, which does not mean that the branches are equal to "
            "listeners."
        )
    on = listed(
        [
            count(num_listeners, "listener"),
            count(min(question.num_clips for question in own), "clip"),
            count(min(question.num_trainings for question in own), "training"),
        ]
    )
    holm = f", Holm-adjusted over {len(own)} pairs" if len(own) > 1 else ""
    rests = f"rests on {on}, crossed{holm}"
    if others:
        at = listed([str(number) for number in others])
        return (
            f"Exploratory: these votes were also decided at {at} listeners, and each look is a "
            f"further chance. It {rests}."
        )
    if not plan.decides:
        return (
            "Exploratory: that the votes decide was chosen after the metric had been seen. It "
            f"{rests}."
        )
    return (
        f"Confirmed at the 5 % level for other listeners, trainings and clips: it {rests}, and was "
        "set before the first vote. It holds for this split's classes, this budget and these "
        "settings."
    )


def _next_step(
    own: Sequence[QuestionResult],
    *,
    plan: VotePlan,
    record: ComparisonRecord,
    outcome: Outcome,
    num_listeners: int,
) -> tuple[str, str | None]:
    if record.failed or not own:
        return "Finish the runs, then ask listeners.", None
    if outcome is Outcome.WIN:
        if plan.decides:
            return "It is decided for this split. A claim about the task needs other splits.", None
        return (
            "Exploratory results are confirmed by votes that were named as deciding beforehand.",
            _command(record, plan, listeners=max(MIN_LISTENERS, num_listeners)),
        )
    if plan.num_listeners is not None and num_listeners < plan.num_listeners:
        more = plan.num_listeners - num_listeners
        return (
            f"{count(more, 'more listener')}: give them the page, then score all files together.",
            None,
        )
    trainings = min(question.num_trainings for question in own)
    if trainings < MIN_SEEDS_FOR_A_WIN:
        return (
            f"Train {MIN_SEEDS_FOR_A_WIN} seeds of each branch, then ask listeners again: images "
            "of too few trainings cannot speak of a branch, however many vote.",
            None,
        )
    open_pairs = [question for question in own if question.winner is None]
    nearest = max(open_pairs, key=lambda question: abs(question.share - 0.5))
    votes = max(1, round(nearest.num_votes / max(1, nearest.num_listeners)))
    needed = listeners_for(
        0.5 + abs(nearest.share - 0.5),
        clips=nearest.num_clips,
        trainings=nearest.num_trainings,
        votes_per_listener=votes,
        spread=VoteSpread(),
        num_branches=len(record.branches),
    )
    pair = f"{nearest.first} and {nearest.second}"
    if needed is None or needed <= num_listeners:
        return (
            f"If {pair} differ as seen, more listeners alone do not settle it; more clips and "
            "trainings would.",
            None,
        )
    return (
        f"If {pair} differ as seen, {needed} listeners on these clips and trainings find it in "
        "80 % of cases. Ask a plan of its own: adding to these votes would be a further look.",
        _command(record, plan, listeners=needed),
    )


def _command(record: ComparisonRecord, plan: VotePlan, *, listeners: int) -> str:
    words = ["harness", "vote", record.name, "--decide", "--listeners", str(listeners)]
    return shlex.join([*words, "--seed", str(plan.seed + 1)])
