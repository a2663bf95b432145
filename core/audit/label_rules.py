"""Whether each clip's class is what its label means, letter for letter."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from core.audit.finding import Finding, Kind
from core.audit.listing import Clip, Listing
from core.data.labels import LabelMap


def check_labels(listing: Listing, *, labels: LabelMap) -> Iterator[Finding]:
    """Clips whose source label means another class, or none at all."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for clip in listing.clips:
        label = clip.source_label
        if label is not None and labels.class_of(label) != clip.class_name:
            groups[clip.class_name, label].append(clip.id)
    for (class_name, label), ids in sorted(groups.items(), key=lambda group: -len(group[1])):
        means = labels.class_of(label)
        then = (
            labels.why_unmapped(label)
            if means is None
            else f"the label map {labels.name} says that {label!r} means {means}"
        )
        yield Finding(
            Kind.UNMAPPED_LABEL if means is None else Kind.LABEL_OF_ANOTHER_CLASS,
            f"{listing.name}: {len(ids)} of class {class_name} are labelled {label!r}; {then}",
            tuple(sorted(ids)),
            {"list": listing.name, "class": class_name, "label": label, "means": means},
        )


def check_conflicts(listings: Sequence[Listing]) -> Iterator[Finding]:
    """Clips of one id or one sound or picture that two classes claim, over all lists."""
    claims: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for listing in listings:
        for clip in listing.clips:
            for key in _identities(clip):
                claims[key][clip.class_name].add(clip.id)
    seen: set[tuple[str, ...]] = set()
    for (what, _), by_class in sorted(claims.items()):
        ids = tuple(sorted({id_ for found in by_class.values() for id_ in found}))
        if len(by_class) < 2 or ids in seen:
            continue
        seen.add(ids)
        classes = sorted(by_class)
        yield Finding(
            Kind.CONFLICTING_CLASSES,
            f"the same {what} is {' and '.join(classes)}: {', '.join(ids)}",
            ids,
            {"classes": classes, "shared": what},
        )


def _identities(clip: Clip) -> Iterator[tuple[str, str]]:
    yield "clip", clip.id
    if clip.audio_sha256:
        yield "sound", clip.audio_sha256
    if clip.image_sha256:
        yield "picture", clip.image_sha256
