"""The comparison in words; each sentence says no more than the numbers allow."""

import math
from collections.abc import Sequence

from harness.comparison.evidence import Looks, Trainings
from harness.comparison.tables import why_blank
from harness.records.record import RunRecord
from harness.statistics.outcome import MIN_SEEDS_FOR_A_WIN, Outcome, Population, Speaks
from harness.statistics.verdict import PairVerdict


def verdict_sentence(
    *,
    metric: str,
    records: Sequence[RunRecord],
    failed: Sequence[RunRecord],
    outcome: Outcome,
    winner: str | None,
    population: Population = Population.THESE_CLIPS,
    caution: str | None = None,
    num_pairs: int = 0,
    num_decided: int = 0,
    is_exploratory: bool = False,
) -> str:
    """The verdict.

    records: the finished runs. population: what the outcome speaks of. caution: why
    the metric cannot rank here, if it cannot. num_pairs: of branches. num_decided: those of them
    that are won or tied. is_exploratory: whether a win or tie only suggests what it says.
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
        return f"undecided: {metric} cannot rank here ({caution})"
    branches = {r.identity.variant for r in records}
    if len(branches) < 2:
        return f"undecided: {', '.join(branches)} is the only branch; there is no other to compare"
    note = " (exploratory)" if is_exploratory else ""
    if winner is not None:
        return f"{winner} wins on {metric} over {seeds} seeds{_on(population)}{note}"
    if outcome is Outcome.TIE:
        return f"tie on {metric} over {seeds} seeds{_on(population)}{note}"
    if seeds < MIN_SEEDS_FOR_A_WIN:
        return (
            f"undecided: {counted} exploratory, a win on {metric} needs at least "
            f"{MIN_SEEDS_FOR_A_WIN}"
        )
    if num_decided:
        return (
            f"undecided: {seeds} seeds single out no branch on {metric}; "
            f"{_decided(num_decided, num_pairs)}"
        )
    return f"undecided: {seeds} seeds do not separate the branches on {metric}"


def _decided(num_decided: int, num_pairs: int) -> str:
    if num_decided == num_pairs:
        return f"all {num_pairs} pairs are decided"
    return f"{num_decided} of {num_pairs} pairs {'is' if num_decided == 1 else 'are'} decided"


def _on(population: Population) -> str:
    return ", on these clips" if population is Population.THESE_CLIPS else ""


def claim_sentence(
    outcome: Outcome,
    *,
    is_tested: bool,
    num_seeds: int,
    num_pairs: int,
    alpha: float,
    population: Population = Population.THESE_CLIPS,
    trainings: Trainings | None = None,
    looks: Looks | None = None,
    num_decided: int = 0,
    are_rates_tuned: bool = False,
    is_by_signs: bool = False,
) -> str:
    """What the outcome rests on, and so what may be claimed.

    is_tested: whether the metric was tested at all; a failed run, a blank value or a metric that
    ranks nothing leaves nothing to test. population: what the outcome speaks of. trainings: how
    they are distributed. looks: how often it was decided. num_decided: pairs that are won or tied.
    are_rates_tuned: whether learning rates and stage lengths were searched for each branch.
    is_by_signs: whether some deciding difference is the same in every seed and so has no t-test.
    """
    if not is_tested:
        return "Nothing was tested, so nothing is claimed."
    if num_seeds < MIN_SEEDS_FOR_A_WIN:
        counted = "one training seed" if num_seeds == 1 else f"{num_seeds} training seeds"
        return (
            f"Exploratory: {counted} can suggest a difference and its size, but not establish "
            f"it; at least {MIN_SEEDS_FOR_A_WIN} seeds are needed for that."
        )
    if outcome is Outcome.UNDECIDED and num_decided and not (looks and looks.unplanned):
        start = (
            f"No best branch is established: {_decided(num_decided, num_pairs)} over {num_seeds} "
            "paired training seeds"
        )
        if num_decided == num_pairs:
            return f"{start}, but no branch wins against every other."
        return f"{start}, the others are not, which does not mean that their branches are equal."
    if outcome is Outcome.UNDECIDED:
        return (
            f"Nothing is established: {num_seeds} paired training seeds are enough for a claim, "
            "but the results do not support one. This does not mean that the branches are equal."
        )
    tests = "two one-sided t-tests, which place every difference within the margin"
    if outcome is Outcome.WIN:
        family = f", Holm-adjusted over {num_pairs} pairs" if num_pairs > 1 else ""
        tests = f"the t-test{family} and the exact sign-flip test together"
    if is_by_signs:
        tests += " (signs alone where the difference is the same in every seed)"
    if looks is not None and looks.planned:
        tests += f", paid for looks at {_listed(looks.planned)} seeds"
    if looks is not None and looks.unplanned and looks.level is not None:
        start = (
            f"Exploratory: {_also_decided(looks, num_seeds)}, which no plan names, so equal "
            f"branches would get as far in up to {looks.level:.1%} of cases instead of "
            f"{alpha:.0%}. It"
        )
    elif population is Population.THESE_CLIPS:
        start = (
            f"Confirmed at the {alpha:.0%} level on these clips alone: other trainings would show "
            "it on the same test clips, and whether other clips would is not shown. It"
        )
    else:
        start = f"Confirmed at the {alpha:.0%} level for other trainings and other clips: it"
        tests += ", and the crossed test of trainings and clips"
    speaks = ""
    if outcome is Outcome.WIN and trainings is not None:
        speaks = f" {_speaks(trainings)}"
    searched = "which no search tuned for each branch"
    if are_rates_tuned:
        searched = "which a search tuned for each branch"
    return (
        f"{start} rests on {num_seeds} paired training seeds, {tests}. It holds for this split's "
        "classes, this budget and these settings, learning rates and stage lengths among them, "
        f"{searched}.{speaks}"
    )


def _also_decided(looks: Looks, num_seeds: int) -> str:
    words = f"it was also decided at {_listed(looks.unplanned)} seeds"
    if any(seeds >= num_seeds for seeds in looks.unplanned):
        words += ", with other runs of these branches or more branches"
    return words


def _speaks(trainings: Trainings) -> str:
    if trainings.speaks is Speaks.MEAN:
        return (
            "It speaks of the mean over trainings that do not collapse; with "
            f"{trainings.num_seeds} seeds, up to {trainings.unseen_share:.0%} of a branch's could "
            "without one being seen."
        )
    collapsed = [
        f"{len(seeds)} of {trainings.num_seeds} of {branch}"
        for branch, seeds in trainings.collapsed.items()
        if seeds
    ]
    if collapsed:
        return (
            f"It speaks of a typical training: some collapsed ({', '.join(collapsed)}), so it is "
            "no claim about the mean over all."
        )
    return (
        "It speaks of a typical training: with "
        f"{trainings.num_seeds} seeds, up to {trainings.unseen_share:.0%} of a branch's trainings "
        "could collapse without one being seen, so it is not a claim about the mean over all."
    )


def shape_notices(trainings: Trainings) -> list[str]:
    """What the distribution of the trainings warns of."""
    found = []
    for branch, seeds in trainings.collapsed.items():
        if seeds:
            found.append(
                f"{len(seeds)} of {trainings.num_seeds} trainings of {branch} collapsed (seed "
                f"{_listed(seeds)}): far worse than the branch's own median. They are counted, and "
                "what is claimed speaks of a typical training, not of the mean"
            )
    if trainings.skewed:
        found.append(
            f"the differences over seeds are skewed ({', '.join(trainings.skewed)}): t-test and "
            "sign-flip test then speak of a typical training, not of the mean"
        )
    return found


def _listed(numbers: Sequence[int]) -> str:
    words = [str(number) for number in numbers]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def pair_sentence(pair: PairVerdict, *, metric: str, is_primary: bool) -> str:
    """One pair in words; a win's difference is the winner's minus the loser's."""
    found, sign = pair.difference, 1.0
    if pair.outcome is Outcome.WIN:
        loser = pair.second if pair.winner == pair.first else pair.first
        sign = 1.0 if pair.winner == pair.first else -1.0
        what = f"{pair.winner} beats {loser} on {metric}{_on(pair.population)}"
    elif pair.outcome is Outcome.TIE:
        what = (
            f"{pair.first} and {pair.second} tie on {metric}, within {pair.margin:g}"
            f"{_on(pair.population)}"
        )
    else:
        what = f"{pair.first} against {pair.second} is undecided on {metric}"
        if pair.ahead:
            what += f"; {pair.ahead} is ahead"
    numbers = f"difference {sign * found.mean:+.3g}"
    if found.n > 1:
        if math.isnan(found.low):
            numbers += " in every seed, so without an interval"
        else:
            low, high = sorted((sign * found.low, sign * found.high))
            numbers += f", {found.level:.0%} interval {low:+.3g} to {high:+.3g} by itself"
        small = pair.adjusted_p < 0.001
        of_what = " of no difference" if pair.outcome is Outcome.TIE else ""
        numbers += f", adjusted p{of_what} {'< 0.001' if small else f'{pair.adjusted_p:.3g}'}"
    counted = "1 seed" if found.n == 1 else f"{found.n} seeds"
    note = "" if is_primary else "; a secondary metric, which does not decide the verdict"
    return f"{what} ({numbers}, {counted}{note})"
