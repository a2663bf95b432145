"""What an undecided comparison would take to be decided: more seeds or more clips."""

import math
from collections.abc import Sequence

from scipy import special

from harness.comparison.evidence import ToAdd
from harness.records.record import RunRecord
from harness.statistics.crossed import Components
from harness.statistics.looks import level_at
from harness.statistics.outcome import MAX_SEEDS, MIN_SEEDS_FOR_A_WIN, Outcome
from harness.statistics.verdict import CROSSED_P_FACTOR, PairVerdict
from harness.wording.numbers import count

_MOST_CLIPS = 10
"""Times the clips there are, beyond which more of them are no advice."""


def to_add(
    records: Sequence[RunRecord],
    pairs: Sequence[PairVerdict],
    *,
    outcome: Outcome,
    alpha: float,
    looks: Sequence[int] = (),
) -> ToAdd | None:
    """What would decide the pair on which the verdict hangs, if the difference is as seen; None
    where the comparison is decided or no open pair has clips.

    That is the nearest rival among those that the branch with the best mean is not yet told apart
    from, since it has to win against all; where it has none, the open pair that is furthest apart.

    records: the finished runs, whose seconds say what more of them would cost. looks: planned
    numbers of seeds, whose tests are stricter; any number is asked for the last one's.
    """
    open_pairs = [
        pair
        for pair in pairs
        if pair.outcome is Outcome.UNDECIDED
        and pair.crossed is not None
        and pair.difference.n > 1
        and pair.difference.mean != 0
    ]
    if outcome is not Outcome.UNDECIDED or not open_pairs:
        return None
    leader = _leader(pairs)
    own = [pair for pair in open_pairs if leader in (pair.first, pair.second)]
    pair = min(own, key=_apart) if own else max(open_pairs, key=_apart)
    assert pair.crossed is not None
    parts, mean = pair.crossed.components, abs(pair.difference.mean)
    level = alpha / len(pairs)
    if looks:
        level = level_at(looks, num_seeds=looks[-1], alpha=level)
    seeds = next(
        (
            n
            for n in range(max(parts.num_seeds + 1, MIN_SEEDS_FOR_A_WIN), MAX_SEEDS + 1)
            if _decides(parts, mean, seeds=n, clips=parts.num_clips, level=level)
        ),
        None,
    )
    clips = None
    if parts.num_seeds >= MIN_SEEDS_FOR_A_WIN:
        clips = next(
            (
                n
                for n in range(parts.num_clips + 1, _MOST_CLIPS * parts.num_clips + 1)
                if _decides(parts, mean, seeds=parts.num_seeds, clips=n, level=level)
            ),
            None,
        )
    more_seeds = None if seeds is None else seeds - parts.num_seeds
    more_clips = None if clips is None else clips - parts.num_clips
    per_run = _seconds(records)
    branches = len({record.identity.variant for record in records})
    for_seeds = for_clips = None
    if per_run is not None and more_seeds is not None:
        for_seeds = branches * more_seeds * sum(per_run)
    if per_run is not None and clips is not None:
        # Another split: every training is made again, and every clip is sampled.
        for_clips = branches * parts.num_seeds * (per_run[0] + per_run[1] * clips / parts.num_clips)
    return ToAdd(
        seeds=more_seeds,
        clips=more_clips,
        seconds_for_seeds=for_seeds,
        seconds_for_clips=for_clips,
        sentence=_sentence(
            pair, seeds=more_seeds, clips=more_clips, for_seeds=for_seeds, for_clips=for_clips
        ),
    )


def _apart(pair: PairVerdict) -> float:
    """Difference for its error."""
    error = 0.0 if pair.crossed is None else pair.crossed.error
    return abs(pair.difference.mean) / max(error, 1e-300)


def _leader(pairs: Sequence[PairVerdict]) -> str | None:
    """The branch with the best mean; None where two share it."""
    for name in {name for pair in pairs for name in (pair.first, pair.second)}:
        if all(pair.ahead == name for pair in pairs if name in (pair.first, pair.second)):
            return name
    return None


def _decides(parts: Components, mean: float, *, seeds: int, clips: int, level: float) -> bool:
    """Whether the expected interval of both tests leaves out 0; where trainings or clips agree, so
    that signs alone are counted, whether these can reach the level too."""
    if CROSSED_P_FACTOR * parts.smallest_p(seeds=seeds, clips=clips) > level:
        return False
    of_seeds = math.sqrt((parts.seeds + parts.rest / clips) / seeds)
    alone = -float(special.stdtrit(seeds - 1, level / 2)) * of_seeds
    both = parts.half_width(seeds=seeds, clips=clips, level=1 - level / CROSSED_P_FACTOR)
    return mean > max(alone, both)


def _seconds(records: Sequence[RunRecord]) -> tuple[float, float] | None:
    """(mean seconds of a run apart from sampling and scoring, of these); None without any."""
    training, rest = 0.0, 0.0
    for record in records:
        seconds = record.seconds
        for name, value in seconds.items():
            if name in ("sample", "score"):
                rest += value
            else:
                training += value
    if training + rest == 0:
        return None
    return training / len(records), rest / len(records)


def _sentence(
    pair: PairVerdict,
    *,
    seeds: int | None,
    clips: int | None,
    for_seeds: float | None,
    for_clips: float | None,
) -> str:
    start = (
        f"If the difference between {pair.first} and {pair.second} and its spread over these "
        f"{pair.difference.n} seeds are as seen, "
    )
    # An expected interval that just leaves out 0 leaves it out about every second time.
    decide = "would decide this pair in about half of cases"
    if seeds is None and clips is None:
        return f"{start}neither more seeds nor more clips in reach {decide}."
    of_seeds = f"about {count(seeds, 'more seed')} of each branch"
    of_clips = f"about {count(clips, 'more test clip')} (another split, so every run is made again)"
    if clips is None:
        return f"{start}{of_seeds} {decide}; more clips alone would not."
    if seeds is None:
        return f"{start}{of_clips} {decide}; more seeds alone would not."
    cheaper, dearer = of_seeds, of_clips
    if for_seeds is not None and for_clips is not None and for_clips < for_seeds:
        cheaper, dearer = of_clips, of_seeds
    if for_seeds is None or for_clips is None:
        return f"{start}{of_seeds}, or {of_clips}, {decide}."
    return f"{start}{cheaper} {decide}, for less device time than {dearer}."
