"""The arithmetic of a split: a capped draw, and the division of each class among the parts."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from math import floor

from core.data.items import Sample
from core.randomness import rng

OFFICIAL_TEST = "test"
_ROUNDING = 1e-9  # 0.1 * 30 is 3.0000000000000004: a share is not let fall or rise by that


def draw_capped(
    samples: Sequence[Sample],
    *,
    cap: int | Mapping[str, int],
    seed: int,
    purpose: str = "cap",
) -> tuple[Sample, ...]:
    """At most `cap` samples of each class, whole sources first, in an order drawn by `seed`.

    cap: one number for all, or one a class. purpose: names the draw; two draws of one seed differ.
    A source that does not fit whole is cut, so a class has exactly min(cap, its size) samples.
    """
    by_class: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_class[sample.class_name].append(sample)
    chosen: list[Sample] = []
    for name in sorted(by_class):
        rank = _ranks({s.source for s in by_class[name]}, seed=seed, purpose=purpose, name=name)
        by_class[name].sort(key=lambda sample: (rank[sample.source], sample.id))
        chosen.extend(by_class[name][: cap if isinstance(cap, int) else cap[name]])
    return tuple(chosen)


def divide_classes(
    samples: Sequence[Sample], *, seed: int, fractions: Sequence[float]
) -> tuple[list[str], ...]:
    """Ids of the parts, one list a fraction.

    Sources go, largest first and in a drawn order among equals, to the part that lacks most of
    its target in that class; the last ones fill parts that are still empty. A source with samples
    of several classes is placed with the rarest.
    """
    groups: dict[str, list[Sample]] = defaultdict(list)
    class_sources: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        groups[sample.source].append(sample)
        class_sources[sample.class_name].add(sample.source)
    counts = Counter(sample.class_name for sample in samples)
    targets = part_targets(counts, fractions=fractions)
    numbers = range(len(fractions))
    placed: dict[str, int] = {}
    for name in sorted(class_sources, key=lambda name: (len(class_sources[name]), name)):
        rank = _ranks(class_sources[name], seed=seed, purpose="part", name=name)
        size = {
            source: sum(sample.class_name == name for sample in groups[source]) for source in rank
        }
        lack = list(targets[name])
        empty = set(numbers)
        for source in rank:
            if source in placed:
                lack[placed[source]] -= size[source]
                empty.discard(placed[source])
        open_sources = [source for source in rank if source not in placed]
        open_sources.sort(key=lambda source: (-size[source], rank[source]))
        for index, source in enumerate(open_sources):
            num_left = len(open_sources) - index
            choice = sorted(empty) if num_left <= len(empty) else list(numbers)
            part = max(choice, key=lambda part: (lack[part], -part))
            placed[source] = part
            lack[part] -= size[source]
            empty.discard(part)
    parts: tuple[list[str], ...] = tuple([] for _ in numbers)
    for source, part in placed.items():
        parts[part].extend(sample.id for sample in groups[source])
    return parts


def divide_officially(
    samples: Sequence[Sample], *, cap: int, seed: int, fractions: Sequence[float]
) -> tuple[list[str], ...]:
    """Ids of (train, val, test), capped, where only the data set's own test clips are tested on.

    A source with one official test clip is of the official test part whole, so that none of its
    clips trains. Of those, a class gets at most its share of test clips, and at least one; the
    rest of its cap is drawn from the other sources and divided between train and val.
    """
    held_out = {sample.source for sample in samples if sample.official_split == OFFICIAL_TEST}
    pool = [sample for sample in samples if sample.source in held_out]
    sizes = {
        name: min(cap, count)
        for name, count in Counter(sample.class_name for sample in samples).items()
    }
    targets = part_targets(sizes, fractions=fractions)
    test = draw_capped(
        pool,
        cap={name: max(1, target[-1]) for name, target in targets.items()},
        seed=seed,
        purpose="official test",
    )
    tested = Counter(sample.class_name for sample in test)
    learnt = draw_capped(
        [sample for sample in samples if sample.source not in held_out],
        cap={name: size - tested[name] for name, size in sizes.items()},
        seed=seed,
    )
    shares = [fraction / sum(fractions[:-1]) for fraction in fractions[:-1]]
    return (*divide_classes(learnt, seed=seed, fractions=shares), [sample.id for sample in test])


def part_targets(
    counts: Mapping[str, int], *, fractions: Sequence[float]
) -> dict[str, tuple[int, ...]]:
    """Samples of each class in each part; the first part is training.

    Totals are floor(N * fraction), the last part has the rest; all but training are apportioned
    among the classes by largest remainder (ties: the larger class, then the name); training takes
    what is left. A class may get no seat; `divide_classes` gives it one all the same.
    """
    num_samples = sum(counts.values())
    totals = [floor(num_samples * fraction + _ROUNDING) for fraction in fractions[:-1]]
    totals.append(num_samples - sum(totals))
    held_out = [
        _largest_remainder(counts, share=fraction, total=total)
        for fraction, total in zip(fractions[1:], totals[1:], strict=True)
    ]
    seats = {name: tuple(part[name] for part in held_out) for name in counts}
    return {name: (n - sum(seats[name]), *seats[name]) for name, n in counts.items()}


def _largest_remainder(counts: Mapping[str, int], *, share: float, total: int) -> dict[str, int]:
    ideal = {name: count * share for name, count in counts.items()}
    seats = {name: floor(value + _ROUNDING) for name, value in ideal.items()}
    while sum(seats.values()) < total:
        name = min(counts, key=lambda name: (seats[name] - ideal[name], -counts[name], name))
        seats[name] += 1
    return seats


def _ranks(sources: set[str], *, seed: int, purpose: str, name: str) -> dict[str, int]:
    ordered = sorted(sources)
    order = rng(seed, "split", purpose, name).permutation(len(ordered))
    return {ordered[int(index)]: place for place, index in enumerate(order)}
