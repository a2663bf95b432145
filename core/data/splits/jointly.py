"""Clips with several labels: divided so that every label keeps its share in every part."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import floor, log

import numpy as np

from core.data.items import Sample
from core.randomness import rng

FEWEST_SOURCES = 10
"""Of a label that clips are grouped by: a tenth of them, the test part, holds one."""
OTHER = "other labels"
_ROUNDING = 1e-9


def label_groups(samples: Sequence[Sample]) -> dict[str, str]:
    """Group by id: the rarest of a clip's labels that is not too rare to be in all parts.

    Every clip is in one group, so that tests and controls compare clips of a like kind; clips that
    have rare labels alone are one group of their own, or join the largest where they are few.
    """
    sources: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        for label in sample.labels:
            sources[label].add(sample.source)
    usable = {name for name, own in sources.items() if len(own) >= FEWEST_SOURCES}
    found = {
        sample.id: min(
            usable.intersection(sample.labels),
            key=lambda label: (len(sources[label]), label),
            default=OTHER,
        )
        for sample in samples
    }
    members: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        members[found[sample.id]].add(sample.source)
    largest = max(members, key=lambda name: (len(members[name]), name))
    small = {name for name, own in members.items() if len(own) < 3}
    return {id_: largest if name in small else name for id_, name in found.items()}


def draw_capped_by_label(samples: Sequence[Sample], *, cap: int, seed: int) -> tuple[Sample, ...]:
    """Clips in an order drawn by `seed`, each unless one of its labels has `cap` clips already."""
    rank = _ranks(sorted({sample.source for sample in samples}), seed=seed, purpose="cap")
    counts: Counter[str] = Counter()
    chosen = []
    for sample in sorted(samples, key=lambda s: (rank[s.source], s.id)):
        if all(counts[label] < cap for label in sample.labels):
            counts.update(sample.labels)
            chosen.append(sample)
    return tuple(chosen)


def divide_jointly(
    samples: Sequence[Sample], *, seed: int, fractions: Sequence[float]
) -> tuple[list[str], ...]:
    """Ids of the parts, one list a fraction; sources stay whole.

    Iterative stratification (Sechidis et al. 2011): the label with fewest clips left is placed
    first; each of its sources goes to the part that lacks most of that label, then most of the
    source's other labels, then by lot. Unlike there, what a part lacks is held against its share,
    so that all parts fill at one pace and the last label is not left what others spared. A part
    that has its number of clips takes no more while another lacks some.
    """
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.source].append(sample)
    labels_of = {
        source: Counter(label for sample in own for label in sample.labels)
        for source, own in groups.items()
    }
    left: dict[str, set[str]] = defaultdict(set)
    for source, counts in labels_of.items():
        for label in counts:
            left[label].add(source)
    totals = Counter(label for sample in samples for label in sample.labels)
    lack = {label: [count * share for share in fractions] for label, count in totals.items()}
    room = _room(len(samples), fractions=fractions)
    rank = _ranks(sorted(groups), seed=seed, purpose="part")
    placed: dict[str, int] = {}

    def place(source: str, label: str | None) -> None:
        size = len(groups[source])
        numbers = [part for part in range(len(fractions)) if room[part] >= size]
        numbers = numbers or list(range(len(fractions)))
        lot = rng(seed, "split", "lot", source).gumbel(size=len(fractions))

        def need(part: int, names: Iterable[str]) -> float:
            return round(sum(lack[name][part] for name in names) / fractions[part], 9)

        placed[source] = max(
            numbers,
            key=lambda part: (
                need(part, [] if label is None else [label]),
                need(part, labels_of[source]),
                lot[part] + log(fractions[part]),
            ),
        )
        room[placed[source]] -= size
        for own, count in labels_of[source].items():
            lack[own][placed[source]] -= count
            left[own].discard(source)

    while left:
        label = min(left, key=lambda name: (len(left[name]), name))
        for source in sorted(left[label], key=lambda s: (-labels_of[s][label], rank[s])):
            place(source, label)
        left = {name: own for name, own in left.items() if own}
    for source in sorted(groups, key=lambda s: (-len(groups[s]), rank[s])):
        if source not in placed:
            place(source, None)
    parts: tuple[list[str], ...] = tuple([] for _ in fractions)
    for source, part in placed.items():
        parts[part].extend(sample.id for sample in groups[source])
    return parts


def _room(count: int, *, fractions: Sequence[float]) -> list[int]:
    """Clips of each part: floor of its share, and of the last the rest."""
    sizes = [floor(count * fraction + _ROUNDING) for fraction in fractions[:-1]]
    return [*sizes, count - sum(sizes)]


def _ranks(sources: Sequence[str], *, seed: int, purpose: str) -> Mapping[str, int]:
    order = rng(seed, "split", purpose, "labels").permutation(len(sources))
    return {sources[int(index)]: place for place, index in enumerate(np.asarray(order))}
