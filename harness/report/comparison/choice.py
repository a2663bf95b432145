"""Which clips a report shows: some by hash, so that nobody picked them, and both extremes."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from core.data.items import Sample
from harness.metrics.arms import Arm, ScoredClip
from harness.report.comparison.facts import Facts
from harness.report.contact_sheet import choose_clips, hash_of
from harness.wording.numbers import metric_label

NUM_RANDOM = 8
"""Clips by hash, a class each; with more classes, as many of them."""
NUM_EXTREME = 2


@dataclass(frozen=True)
class Chosen:
    """One clip and why it is shown."""

    sample: Sample
    why: str
    """`random`, `best` or `worst`."""
    advantage: float | None
    """What best and worst are sorted by; None where it is not defined for the clip."""


@dataclass(frozen=True)
class Advantage:
    """What best and worst mean in a report."""

    words: str
    """Where best and worst lie, in words."""
    values: pd.Series
    """By sample id; positive is better for the first."""


def advantage(facts: Facts) -> Advantage | None:
    """Paired difference of each clip: between the two branches furthest apart, or without a
    comparison between the matching and the mismatched sound; mean over seeds."""
    about = facts.clip_metric
    if about is None:
        return None
    sign = 1.0 if about.higher_is_better else -1.0
    pair = facts.focus
    if pair is not None:
        ahead, behind = pair.first, pair.second
        if pair.ahead == pair.second:
            ahead, behind = behind, ahead
        by_seed = {run.seed: run for run in facts.of_branch(behind)}
        differences = [
            sign
            * (
                run.scores(about.name, arm=run.headline_arm)
                - by_seed[run.seed].scores(about.name, arm=by_seed[run.seed].headline_arm)
            )
            for run in facts.of_branch(ahead)
            if run.seed in by_seed
        ]
        words = (
            f"where {ahead} is furthest ahead of and behind {behind} on {metric_label(about.name)}"
        )
    else:
        differences = [
            sign
            * (run.scores(about.name, arm=Arm.AUDIO) - run.scores(about.name, arm=Arm.SHUFFLED))
            for run in facts.finished
        ]
        words = (
            "where the matching sound is furthest ahead of and behind the mismatched one on "
            f"{metric_label(about.name)}"
        )
    if not differences:
        return None
    values = pd.concat(differences, axis=1).mean(axis=1).dropna()
    return Advantage(words, values) if len(values) else None


def chosen_clips(samples: Sequence[Sample], *, gain: Advantage | None) -> list[Chosen]:
    """One clip per class by hash of its id, then the best and the worst that are left.

    Of more than `NUM_RANDOM` classes so many, by hash too, as equal advantages are ordered.
    """
    by_id = {sample.id: sample for sample in samples}
    clips = [
        ScoredClip(sample_id=s.id, class_name=s.class_name, caption=s.caption) for s in samples
    ]
    random = [by_id[clip.sample_id] for clip in choose_clips(clips, most=NUM_RANDOM)]
    values = {} if gain is None else {str(k): float(v) for k, v in gain.values.items()}
    found = [Chosen(sample, "random", values.get(sample.id)) for sample in random]
    shown = {sample.id for sample in random}
    left = sorted(
        (sample for id_, sample in by_id.items() if id_ in values and id_ not in shown),
        key=lambda s: (-values[s.id], hash_of(s.id)),
    )
    num = min(NUM_EXTREME, len(left) // 2)
    found += [Chosen(sample, "best", values[sample.id]) for sample in left[:num]]
    found += [Chosen(s, "worst", values[s.id]) for s in reversed(left[len(left) - num :])]
    return found
