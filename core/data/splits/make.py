"""A manifest's pairs become a split: drawn by seed, stratified by what the data say of a clip."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from core.data.items import DataKind, Sample
from core.data.manifest import Manifest
from core.data.splits.apportion import OFFICIAL_TEST, divide_classes, divide_officially, draw_capped
from core.data.splits.jointly import divide_jointly, draw_capped_by_label, label_groups
from core.data.splits.split import Official, Part, Split, SplitRule
from core.errors import DataError, UsageError

DEFAULT_CAP = 100
"""Most clips of one class; data without classes have no cap unless one is asked for."""


@dataclass(frozen=True)
class CaptionVectors:
    """What a text encoder makes of every clip's caption."""

    encoder: str
    """Its name, a part of the split's rule."""
    by_id: Mapping[str, Sequence[float]]
    """A vector for each clip."""


def make_split(
    manifest: Manifest,
    *,
    cap: int | None = None,
    seed: int = 0,
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
    official: Official = Official.IGNORE,
    vectors: CaptionVectors | None = None,
) -> Split:
    """A split stratified by what the data say, grouped by source and drawn by `seed`.

    Classes are capped at `cap` clips each, 100 by default. With one sample a source, every part of
    every class is within one sample of its share, and the parts' totals are floor(train),
    floor(val) and the rest. A single class is split like any other. Labels are divided jointly
    (`divide_jointly`), captions alone by groups of like captions (`caption_groups`), both without a
    cap unless `cap` is given: of a label, or of a group.
    `HONOUR` keeps the data set's own test clips for the test part: see `divide_officially`, and
    without classes `_divide_as_published`.
    vectors: of captions alone, by a text encoder; None groups them by their words.
    Raises: UsageError for impossible settings; DataError when a class has fewer than three sources,
    or no official test clip where they are honoured, so that it cannot be in all three parts.
    """
    if manifest.kind is DataKind.CLASSES and cap is None:
        cap = DEFAULT_CAP
    if cap is not None and cap < len(Part):
        raise UsageError(f"cap is {cap}; expected at least {len(Part)}, one sample per part")
    if len(fractions) != 3 or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-9:
        raise UsageError(f"fractions are {fractions}; expected three positive shares that sum to 1")
    if official is Official.HONOUR and not any(s.official_split for s in manifest.samples):
        raise UsageError(
            "no clip is marked as of an official train or test part, so there is none to "
            "honour; name the data set's list (vggsound.csv), or ignore its division"
        )
    if vectors is not None and manifest.kind is not DataKind.CAPTIONS:
        raise UsageError(
            f"the data have {manifest.kind.value}, which the split is stratified by; a text "
            "encoder groups data with captions alone"
        )
    samples, groups = grouped(manifest.samples, kind=manifest.kind, vectors=vectors)
    rule = SplitRule(cap=cap, seed=seed, fractions=fractions, official=official, groups=groups)
    parts = _parts(samples, rule=rule, kind=manifest.kind)
    drawn = {id_ for part in parts for id_ in part}
    split = Split(
        root=manifest.root,
        samples={s.id: s for s in sorted(samples, key=lambda s: s.id) if s.id in drawn},
        parts={part: tuple(sorted(parts[index])) for index, part in enumerate(Part)},
        rule=rule,
        kind=manifest.kind,
    )
    require_every_part(split)
    notices = (*manifest.notices, *_cap_notices(split, manifest=manifest))
    if manifest.kind is DataKind.LABELS:
        notices = (*notices, *_label_notices(split))
    if official is Official.HONOUR and manifest.kind is DataKind.CLASSES:
        notices = (*notices, *_official_notices(split, manifest=manifest))
    return replace(split, notices=notices)


def grouped(
    samples: Sequence[Sample], *, kind: DataKind, vectors: CaptionVectors | None = None
) -> tuple[Sequence[Sample], str | None]:
    """The samples, each in one class or group, and what they were grouped by."""
    if kind is DataKind.CLASSES:
        return samples, None
    if kind is DataKind.LABELS:
        found, name = label_groups(samples), "labels"
    else:
        from core.data.splits.caption_groups import caption_groups

        found = caption_groups(samples, vectors=None if vectors is None else vectors.by_id)
        name = "words" if vectors is None else vectors.encoder
    return [replace(sample, class_name=found[sample.id]) for sample in samples], name


def _parts(
    samples: Sequence[Sample], *, rule: SplitRule, kind: DataKind
) -> Sequence[Sequence[str]]:
    cap, seed, fractions = rule.cap, rule.seed or 0, rule.fractions or ()
    if kind is DataKind.CLASSES and cap is not None:
        if rule.official is Official.HONOUR:
            return divide_officially(samples, cap=cap, seed=seed, fractions=fractions)
        chosen = draw_capped(samples, cap=cap, seed=seed)
        return divide_classes(chosen, seed=seed, fractions=fractions)
    if cap is not None:
        by_label = kind is DataKind.LABELS
        draw = draw_capped_by_label if by_label else draw_capped
        samples = draw(samples, cap=cap, seed=seed)
    if rule.official is Official.HONOUR:
        return _divide_as_published(samples, kind=kind, seed=seed, fractions=fractions)
    return _divide(samples, kind=kind, seed=seed, fractions=fractions)


def _divide(
    samples: Sequence[Sample], *, kind: DataKind, seed: int, fractions: Sequence[float]
) -> Sequence[Sequence[str]]:
    if kind is DataKind.LABELS:
        return divide_jointly(samples, seed=seed, fractions=fractions)
    return divide_classes(samples, seed=seed, fractions=fractions)


def _divide_as_published(
    samples: Sequence[Sample], *, kind: DataKind, seed: int, fractions: Sequence[float]
) -> Sequence[Sequence[str]]:
    """All official test clips test. Those of an official val part validate; without one, a share
    of the rest is drawn. A source with one test clip is of the test part whole."""

    def of(part: Part, among: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
        sources = {sample.source for sample in among if sample.official_split == part.value}
        own = [sample for sample in among if sample.source in sources]
        return own, [sample for sample in among if sample.source not in sources]

    test, rest = of(Part.TEST, samples)
    val, train = of(Part.VAL, rest)
    if val:
        return tuple([sample.id for sample in own] for own in (train, val, test))
    shares = [fraction / sum(fractions[:-1]) for fraction in fractions[:-1]]
    drawn = _divide(rest, kind=kind, seed=seed, fractions=shares)
    return (*drawn, [sample.id for sample in test])


def require_every_part(split: Split) -> None:
    """Raises: DataError where a class is not in every part, or a part of data without classes is
    empty; which labels a part lacks is said by a notice."""
    if split.kind is not DataKind.CLASSES:
        _require_filled(split)
        return
    sources: dict[str, set[str]] = defaultdict(set)
    for sample in split.samples.values():
        sources[sample.class_name].add(sample.source)
    short: Sequence[str] = [
        f"{name!r} ({len(sources[name])} sources, {sum(row.values())} samples)"
        for name, row in split.counts.items()
        if min(row.values()) == 0
    ]
    if short and split.rule.official is Official.HONOUR:
        raise DataError(
            f"class {', '.join(short)} cannot be trained, validated and tested on with the "
            "official division honoured: each class needs a clip of the official test part, and "
            "two sources outside it. Add clips, remove the class, or ignore the official division"
        )
    if short:
        raise DataError(
            f"too few independent samples to train, validate and test on class {', '.join(short)}; "
            f"each class needs at least {len(Part)} sources (3 clips that share neither video nor "
            "content). Add clips or remove the class"
        )


def _require_filled(split: Split) -> None:
    empty = [part.value for part in Part if not split.parts[part]]
    if not empty:
        return
    if split.rule.official is Official.HONOUR:
        raise DataError(
            f"no clip is left for {' and '.join(empty)} with the official division honoured; "
            "ignore it, or ingest the lists of the other parts too"
        )
    raise DataError(
        f"{len(split.samples)} clips leave {' and '.join(empty)} without one; at least ten that "
        "share neither video nor content are needed. Add clips"
    )


def _label_notices(split: Split) -> tuple[str, ...]:
    lacking = [name for name, row in split.label_counts.items() if min(row.values()) == 0]
    if not lacking:
        return ()
    return (
        f"{len(lacking)} of {len(split.label_counts)} labels, such as {lacking[0]!r}, have too few "
        "clips to be in all three parts; scores by label leave out those without a test clip",
    )


def _without_classes(split: Split, *, manifest: Manifest) -> tuple[str, ...]:
    """What is left out of data without classes, and what is not followed."""
    total, kept = len(manifest.samples), len(split.samples)
    what = "label" if split.kind is DataKind.LABELS else "group of captions"
    notices = [f"no cap: all {total} pairs are used; --cap N keeps at most N of each {what}"]
    if split.rule.cap is not None:
        left_out = f"leaves out {total - kept} of {total} pairs"
        notices = [f"the cap of {split.rule.cap} clips a {what} {left_out}"]
    if split.kind is DataKind.CAPTIONS:
        by = "their words" if split.rule.groups == "words" else f"{split.rule.groups}"
        notices.append(
            f"the captions are in {len(split.classes)} groups of like captions, by {by}: the split "
            "is stratified by them, and clips of one group are compared"
        )
    return (*notices, *_division_notices(split, manifest=manifest))


def _cap_notices(split: Split, *, manifest: Manifest) -> tuple[str, ...]:
    cap = split.rule.cap
    if cap is None or split.kind is not DataKind.CLASSES:
        return _without_classes(split, manifest=manifest)
    sizes = Counter(sample.class_name for sample in manifest.samples)
    left_out = {name: size - cap for name, size in sizes.items() if size > cap}
    notices = []
    if left_out:
        most = max(left_out, key=lambda name: (left_out[name], name))
        notices.append(
            f"the cap of {cap} clips a class leaves out {sum(left_out.values())} of "
            f"{len(manifest.samples)} pairs, {left_out[most]} of them of {most}"
        )
    return (*notices, *_division_notices(split, manifest=manifest))


def _division_notices(split: Split, *, manifest: Manifest) -> tuple[str, ...]:
    is_divided = any(sample.official_split for sample in manifest.samples)
    if not is_divided or split.rule.official is not Official.IGNORE:
        return ()
    return (
        "the data set's own division into parts is not followed; --official honour tests on "
        "its test part alone",
    )


def _official_notices(split: Split, *, manifest: Manifest) -> tuple[str, ...]:
    notices = []
    for name, row in split.counts.items():
        share = row[Part.TEST] / sum(row.values())
        wanted = split.rule.fractions[2] if split.rule.fractions else 0.0
        if share < wanted / 2:
            notices.append(
                f"{name}: only {row[Part.TEST]} of {sum(row.values())} clips are tested on; the "
                "official test part has no more of them"
            )
    left_out = sum(
        sample.official_split == OFFICIAL_TEST and sample.id not in split.samples
        for sample in manifest.samples
    )
    if left_out:
        notices.append(
            f"{left_out} clips of the official test part are left out: they must not train, and "
            "the test part has its share"
        )
    return tuple(notices)
