"""What is wrong with how the parts of a given split were made."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from core.audit.finding import Finding, Kind
from core.audit.listing import Listing
from core.data.splits.apportion import OFFICIAL_TEST
from core.data.splits.split import Part

_FEW = 2
"""With one clip a class's held-out score is one clip's luck."""


def check_official(listing: Listing) -> Iterator[Finding]:
    """Clips of the data set's own test part, marked; worse where they train or validate."""
    ids = tuple(sorted(c.id for c in listing.clips if c.official_split == OFFICIAL_TEST))
    if not ids:
        return
    is_learnt = listing.part in (Part.TRAIN, Part.VAL)
    note = (
        f"; it is used for {listing.part.value}, so scores on the official test part mean nothing"
        if is_learnt and listing.part
        else ""
    )
    yield Finding(
        Kind.OFFICIAL_TEST_IS_TRAINED if is_learnt else Kind.OFFICIAL_TEST_CLIPS,
        f"{listing.name}: {len(ids)} of {len(listing.clips)} clips belong to the data set's "
        f"official test part{note}",
        ids,
        {"list": listing.name, "part": listing.part.value if listing.part else None},
    )


def check_division(parts: Sequence[Listing]) -> Iterator[Finding]:
    """Whether a split that no rule here made can be repeated, is stratified, and holds enough.

    parts: of one split, at most one of each. A class is in proportion while each held-out part is
    within one clip of the class's size times the part's share of all clips.
    """
    if all(listing.is_drawn for listing in parts):
        return
    name = _family_name(parts)
    yield Finding(
        Kind.NO_SEED,
        f"{name}: no seed and no rule is recorded, so the division cannot be drawn again",
        facts={"split": name},
    )
    # Clips without a class are in no share of one.
    counts = {
        listing.part: Counter(c.class_name for c in listing.clips if c.class_name)
        for listing in parts
    }
    classes = sum(counts.values(), Counter[str]())
    total = sum(classes.values())
    off: list[str] = []
    for part, of_part in counts.items():
        if part is None or part is Part.TRAIN:
            continue
        share = sum(of_part.values()) / max(total, 1)
        for class_name, size in sorted(classes.items()):
            wanted = size * share
            if abs(of_part[class_name] - wanted) > 1:
                off.append(f"{class_name} has {of_part[class_name]} {part.value} of {wanted:.1f}")
    if off:
        yield Finding(
            Kind.NOT_STRATIFIED,
            f"{name}: not stratified by class; clips against the class's share: {', '.join(off)}",
            facts={"split": name, "classes": off},
        )
    for part, of_part in counts.items():
        for class_name in sorted(classes):
            num = of_part[class_name]
            if num < _FEW and part is not None:
                noun = "clip" if num == 1 else "clips"
                yield Finding(
                    Kind.THIN_CLASS,
                    f"{name}: {class_name} has {num} {part.value} {noun}",
                    facts={"split": name, "class": class_name, "part": part.value, "clips": num},
                )


def _family_name(parts: Sequence[Listing]) -> str:
    return Path(parts[0].family).name
