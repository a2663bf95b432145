"""From listeners' files to what may be said.

Shape legend: L listeners, T trials.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from core.errors import DataError
from core.randomness import rng
from harness.statistics.crossed_votes import crossed_share
from harness.statistics.multiplicity import holm
from harness.statistics.outcome import MIN_LISTENERS
from harness.votes.answers import VoteFile, require_fit
from harness.votes.plan import Kind, Trial, VotePlan
from harness.votes.record import ListenerFacts, MetricAgreement, QuestionResult, VotesRecord
from harness.wording.numbers import count, listed

Array = NDArray[np.float64]
MetricValues = Mapping[str, Mapping[tuple[str, str, int, str], float]]
"""By metric, the value of (branch, clip, seed, arm), higher being better."""
_ALPHA = 0.05
_RESAMPLES = 1_000
_FEWEST_TRIALS = 5


@dataclass(frozen=True)
class _Vote:
    listener: str
    trial: Trial
    is_first: bool


def score_votes(
    files: Sequence[tuple[Path, VoteFile]],
    *,
    plan: VotePlan,
    metrics: MetricValues | None = None,
) -> VotesRecord:
    """Shares by question, reliability, agreement of metrics; listeners who guess are left out.

    Raises:
        MismatchError: a file that answers another plan.
        DataError: no file, or two of one listener.
    """
    if not files:
        raise DataError("no vote file was given")
    require_fit(files, plan=plan)
    listeners = [_facts(votes, plan=plan) for _, votes in files]
    kept = [
        votes for (_, votes), facts in zip(files, listeners, strict=True) if facts.left_out is None
    ]
    votes = [vote for file in kept for vote in _main_votes(file, plan=plan)]
    questions = _questions(votes)
    alike = sum(f.repeats_alike for f in listeners if f.left_out is None)
    repeats = sum(f.num_repeats for f in listeners if f.left_out is None)
    notices = []
    if plan.most_catch_misses < 0:
        notices.append(
            f"{count(plan.num_catch, 'catch trial')} cannot tell who guesses; nobody was left out"
        )
    if not votes:
        notices.append("no vote counts: every listener was left out, or none answered a trial")
    return VotesRecord(
        comparison=plan.comparison,
        plan_id=plan.plan_id,
        most_catch_misses=plan.most_catch_misses,
        listeners=tuple(listeners),
        questions=tuple(questions),
        reliability=alike / repeats if repeats else None,
        num_repeats=repeats,
        agreement=tuple(_agreement(votes, metrics or {})),
        notices=tuple(notices),
    )


def _facts(votes: VoteFile, *, plan: VotePlan) -> ListenerFacts:
    chosen = votes.chosen(plan)
    catch = [trial.id for trial in plan.trials if trial.kind is Kind.CATCH]
    answered = [id_ for id_ in catch if id_ in chosen]
    right = sum(chosen[id_] for id_ in answered)
    pairs = [
        (chosen[t.id], chosen[t.repeats])
        for t in plan.trials
        if t.repeats is not None and t.id in chosen and t.repeats in chosen
    ]
    # A catch trial without an answer is one that was not passed.
    missed = len(catch) - right
    left_out = None
    if 0 <= plan.most_catch_misses < missed:
        left_out = (
            f"{right} of {len(catch)} catch trials right; the plan asks for "
            f"{len(catch) - plan.most_catch_misses}"
        )
    return ListenerFacts(
        name=votes.listener,
        num_votes=len(_main_votes(votes, plan=plan)),
        catch_right=right,
        num_catch=len(catch),
        repeats_alike=sum(one == other for one, other in pairs),
        num_repeats=len(pairs),
        left_out=left_out,
    )


def _main_votes(votes: VoteFile, *, plan: VotePlan) -> list[_Vote]:
    chosen = votes.chosen(plan)
    return [
        _Vote(votes.listener, trial, chosen[trial.id]) for trial in plan.main if trial.id in chosen
    ]


def _questions(votes: Sequence[_Vote]) -> list[QuestionResult]:
    by_question: dict[tuple[str, str, str], list[_Vote]] = {}
    for vote in votes:
        by_question.setdefault(vote.trial.question, []).append(vote)
    shares = {
        question: crossed_share(
            [float(vote.is_first) for vote in own],
            factors={
                "listener": [vote.listener for vote in own],
                "clip": [vote.trial.sample_id for vote in own],
                "training": [vote.trial.seed for vote in own],
            },
        )
        for question, own in by_question.items()
    }
    adjusted = holm([share.p for share in shares.values()])
    found = []
    for (question, share), p in zip(shares.items(), adjusted, strict=True):
        kind, first, second = question
        listeners = share.groups["listener"]
        is_found = p <= _ALPHA and listeners >= MIN_LISTENERS
        winner = (first if share.mean > 0.5 else second) if is_found else None
        found.append(
            QuestionResult(
                kind=kind,
                first=first,
                second=second,
                share=share.mean,
                low=_known(share.low),
                high=_known(share.high),
                p=_known(share.p),
                adjusted_p=_known(float(p)),
                num_votes=share.num_votes,
                num_listeners=listeners,
                num_clips=share.groups["clip"],
                num_trainings=share.groups["training"],
                winner=winner,
                sentence=_sentence(
                    question,
                    mean=share.mean,
                    low=share.low,
                    high=share.high,
                    winner=winner,
                    groups=share.groups,
                ),
            )
        )
    return found


def _sentence(
    question: tuple[str, str, str],
    *,
    mean: float,
    low: float,
    high: float,
    winner: str | None,
    groups: Mapping[str, int],
) -> str:
    kind, first, second = question
    what = (
        f"the image of the matching sound over that of a mismatched one, {first}"
        if kind == Kind.SOUND.value
        else f"{first} over {second}"
    )
    of = listed(
        [
            count(groups["listener"], "listener"),
            count(groups["clip"], "clip"),
            count(groups["training"], "training"),
        ]
    )
    interval = f" ({low:.0%} to {high:.0%})" if math.isfinite(low) else ""
    if winner is not None:
        verdict = "found"
    elif groups["listener"] < MIN_LISTENERS:
        verdict = f"undecided: fewer than {MIN_LISTENERS} listeners"
    else:
        verdict = "undecided"
    given = " of this training alone;" if groups["training"] == 1 else ""
    return f"{what}: {mean:.0%} of the votes{interval}; {of};{given} {verdict}"


def _agreement(votes: Sequence[_Vote], metrics: MetricValues) -> list[MetricAgreement]:
    """Spearman's correlation over trials, with listeners and clips drawn anew."""
    if not votes:
        return []
    trials = list({vote.trial.id: vote.trial for vote in votes}.values())
    names = sorted({vote.listener for vote in votes})
    table_LT = np.full((len(names), len(trials)), math.nan)
    place = {trial.id: index for index, trial in enumerate(trials)}
    for vote in votes:
        table_LT[names.index(vote.listener), place[vote.trial.id]] = float(vote.is_first)
    found = []
    for metric, values in metrics.items():
        difference_T = np.array([_difference(trial, values) for trial in trials])
        is_there_T = np.isfinite(difference_T)
        if is_there_T.sum() < _FEWEST_TRIALS or np.ptp(difference_T[is_there_T]) == 0:
            continue
        clips = [
            trial.sample_id for trial, is_there in zip(trials, is_there_T, strict=True) if is_there
        ]
        correlation, low, high = _bootstrapped(
            table_LT[:, is_there_T], difference_T[is_there_T], clips=clips
        )
        if correlation is not None:
            found.append(
                MetricAgreement(
                    metric=metric,
                    correlation=correlation,
                    low=low,
                    high=high,
                    num_trials=int(is_there_T.sum()),
                )
            )
    return sorted(found, key=lambda row: -row.correlation)


def _difference(trial: Trial, values: Mapping[tuple[str, str, int, str], float]) -> float:
    seed = -1 if trial.seed is None else trial.seed
    if trial.branch is not None:
        one = values.get((trial.branch, trial.sample_id, seed, "audio"), math.nan)
        return one - values.get((trial.branch, trial.sample_id, seed, "shuffled"), math.nan)
    one = values.get((trial.first.name, trial.sample_id, seed, "audio"), math.nan)
    return one - values.get((trial.second.name, trial.sample_id, seed, "audio"), math.nan)


def _bootstrapped(
    table_LT: Array, difference_T: Array, *, clips: Sequence[str]
) -> tuple[float | None, float | None, float | None]:
    def correlated(votes_LT: Array, own_T: Array) -> float:
        counts_T = np.isfinite(votes_LT).sum(axis=0)
        share_T = np.nansum(votes_LT, axis=0)[counts_T > 0] / counts_T[counts_T > 0]
        kept_T = own_T[counts_T > 0]
        if len(kept_T) < 3 or np.ptp(share_T) == 0 or np.ptp(kept_T) == 0:
            return math.nan
        return float(stats.spearmanr(share_T, kept_T).statistic)

    estimate = correlated(table_LT, difference_T)
    if not math.isfinite(estimate):
        return None, None, None
    draw = rng(0, "agreement of metrics with votes")
    groups = [np.flatnonzero(np.asarray(clips) == clip) for clip in dict.fromkeys(clips)]
    drawn = []
    for _ in range(_RESAMPLES):
        listener_L = draw.integers(0, len(table_LT), len(table_LT))
        trial_T = np.concatenate([groups[g] for g in draw.integers(0, len(groups), len(groups))])
        drawn.append(correlated(table_LT[np.ix_(listener_L, trial_T)], difference_T[trial_T]))
    known = np.array([value for value in drawn if math.isfinite(value)])
    if len(known) < _RESAMPLES / 2:
        return estimate, None, None
    low, high = (float(end) for end in np.quantile(known, [0.025, 0.975]))
    return estimate, low, high


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def metric_values(
    tables: Mapping[tuple[str, int], pd.DataFrame], *, higher_is_better: Mapping[str, bool]
) -> dict[str, dict[tuple[str, str, int, str], float]]:
    """Per-clip scores of the first draw, signed so that higher is better.

    tables: by (branch, seed), the columns of a run's `per_clip.csv`. Parts of a metric
    (`attribute_error.pitch`) are left out.
    """
    found: dict[str, dict[tuple[str, str, int, str], float]] = {}
    for (branch, seed), table in tables.items():
        own = table[(table["draw"] == 0) & table["arm"].isin(["audio", "shuffled"])]
        for sample_id, arm, metric, value in own[
            ["sample_id", "arm", "metric", "value"]
        ].itertuples(index=False):
            if metric in higher_is_better:
                sign = 1.0 if higher_is_better[metric] else -1.0
                place = (branch, str(sample_id), seed, str(arm))
                found.setdefault(str(metric), {})[place] = sign * float(value)
    return found
