"""The comparison in words; each sentence says no more than the numbers allow."""

from collections.abc import Sequence

from harness.comparison.tables import why_blank
from harness.records.record import RunRecord
from harness.statistics.outcome import MIN_SEEDS_FOR_A_WIN, Outcome
from harness.statistics.verdict import PairVerdict


def verdict_sentence(
    *,
    metric: str,
    records: Sequence[RunRecord],
    failed: Sequence[RunRecord],
    outcome: Outcome,
    winner: str | None,
    caution: str | None = None,
) -> str:
    """The verdict.

    records: the finished runs. caution: why the metric cannot rank here, if it cannot.
    """
    seeds = len({r.identity.seed for r in records})
    counted = "1 seed is" if seeds == 1 else f"{seeds} seeds are"
    if failed:
        names = ", ".join(sorted({r.identity.variant for r in failed}))
        return f"undecided: runs of {names} failed, and a failed run is not left out"
    blank = [r for r in records if r.value(metric) is None]
    if blank:
        reason = why_blank(blank[0], metric)
        return f"undecided: {metric} is blank in {len(blank)} of {len(records)} runs ({reason})"
    if caution is not None:
        return f"undecided: {metric} ranks nothing here ({caution})"
    branches = {r.identity.variant for r in records}
    if len(branches) < 2:
        return f"undecided: {', '.join(branches)} stands alone, there is nothing to compare it with"
    if winner is not None:
        return f"{winner} wins on {metric} over {seeds} seeds"
    if outcome is Outcome.TIE:
        note = " (exploratory)" if seeds < MIN_SEEDS_FOR_A_WIN else ""
        return f"tie on {metric} over {seeds} seeds{note}"
    if seeds < MIN_SEEDS_FOR_A_WIN:
        return (
            f"undecided: {counted} exploratory, a win on {metric} needs at least "
            f"{MIN_SEEDS_FOR_A_WIN}"
        )
    return f"undecided: {seeds} seeds do not separate the branches on {metric}"


def claim_sentence(
    outcome: Outcome, *, is_tested: bool, num_seeds: int, num_pairs: int, alpha: float
) -> str:
    """What the outcome rests on, and so what may be claimed.

    is_tested: whether the metric was tested at all; a failed run, a blank value or a metric that
    ranks nothing leaves nothing to test.
    """
    if not is_tested:
        return "Nothing was tested, so nothing is claimed."
    if num_seeds < MIN_SEEDS_FOR_A_WIN:
        counted = "one training seed" if num_seeds == 1 else f"{num_seeds} training seeds"
        return (
            f"Exploratory: {counted} can suggest a difference and how large it may be, not "
            f"establish it; {MIN_SEEDS_FOR_A_WIN} seeds are the fewest that could."
        )
    if outcome is Outcome.UNDECIDED:
        return (
            f"Nothing is established: {num_seeds} paired training seeds are enough for a claim, "
            "and do not allow one. That is no sign that the branches are equal."
        )
    tests = "two one-sided t-tests, which place every difference within the margin"
    if outcome is Outcome.WIN:
        family = f", Holm-adjusted over {num_pairs} pairs" if num_pairs > 1 else ""
        tests = f"the t-test{family} and the exact sign-flip test together"
    return (
        f"Confirmed at the {alpha:.0%} level: it rests on {num_seeds} paired training seeds, "
        f"{tests}. It holds for this split, these settings and this budget."
    )


def pair_sentence(pair: PairVerdict, *, metric: str, is_primary: bool) -> str:
    """One pair in words."""
    found = pair.difference
    if pair.outcome is Outcome.WIN:
        loser = pair.second if pair.winner == pair.first else pair.first
        what = f"{pair.winner} beats {loser} on {metric}"
    elif pair.outcome is Outcome.TIE:
        what = f"{pair.first} and {pair.second} tie on {metric}, within {pair.margin:g}"
    else:
        what = f"{pair.first} against {pair.second} is undecided on {metric}"
        if pair.ahead:
            what += f"; {pair.ahead} is ahead"
    numbers = f"difference {found.mean:+.3g}"
    if found.n > 1:
        numbers += f", {found.level:.0%} interval {found.low:+.3g} to {found.high:+.3g}"
        numbers += f", adjusted p {pair.adjusted_p:.3g}"
    counted = "1 seed" if found.n == 1 else f"{found.n} seeds"
    note = "" if is_primary else "; a secondary metric, which decides nothing"
    return f"{what} ({numbers}, {counted}{note})"
