"""Whether a split's test part is large enough for a verdict, by the metric's and the test's rules.

scipy is imported late: what asks for a caution alone needs none.
"""

from collections.abc import Mapping

from harness.metrics.metric import Metric
from harness.wording.data_kinds import CLASS, GroupWord
from harness.wording.numbers import count, few
from harness.wording.plain_text import plain


def too_small(
    test_counts: Mapping[str, int], *, metric: Metric, word: GroupWord = CLASS
) -> list[str]:
    """Why the test part bears no verdict, or less than it seems; nothing where it is large enough.

    test_counts: test clips of each class. word: what stands for a class in data without.

    Where a metric compares a clip with the others of its class, a class of one test clip adds
    nothing to it. The test for other clips learns from clips of one class how much clips differ;
    with few of them the smallest difference that it can ever find is more than the standard
    deviation between clips, which no number of seeds changes.
    """
    from harness.statistics.clips import smallest_clip_effect

    if (caution := rank_caution(metric, n=sum(test_counts.values()))) is not None:
        return [f"{caution}: no verdict on it is possible here"]
    least = 2 if metric.compares_within_class else 1
    counted = {name: n for name, n in test_counts.items() if n >= least}
    if not counted:
        return [
            f"no {word.one} has {least} test clips, so {metric.name} has no value and no verdict "
            "is possible; add clips, or raise the cap of the split"
        ]
    sentences = []
    if small := sorted(set(test_counts) - set(counted)):
        has = "has" if len(small) == 1 else "have"
        named = "" if word == CLASS else f"{word.one if len(small) == 1 else word.many} "
        sentences.append(
            f"{named}{few([plain(name) for name in small])} {has} fewer than {least} test clips, "
            f"so {metric.name} says nothing of {'it' if len(small) == 1 else 'them'}"
        )
    num_clips = sum(counted.values())
    effect = smallest_clip_effect(num_clips, num_classes=len(counted))
    if effect > 1:
        sentences.append(
            f"{count(num_clips, 'test clip')} in {count(len(counted), word.one, word.many)} can "
            f"show a difference for other clips only from {effect:.1f} standard deviations between "
            "clips on, however many seeds there are: such a verdict needs more test clips"
        )
    return sentences


def rank_caution(declared: Metric, *, n: int) -> str | None:
    """The sentence for a value that is too small a sample to rank by; None where it may rank."""
    if declared.min_rankable_n is None or n >= declared.min_rankable_n:
        return None
    return (
        f"{declared.name} is biased upwards at n = {n} and ranks nothing below "
        f"n = {declared.min_rankable_n:,}; read it next to the real-vs-real floor (arm real)"
    )
