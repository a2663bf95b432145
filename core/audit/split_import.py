"""A division that somebody else made, over a manifest's clean pairs, with what is wrong with it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from core.audit.audit import audit_listings
from core.audit.listing import Listing
from core.audit.sharing import SharedBy, find_sharing
from core.data.items import Sample
from core.data.labels import LabelMap
from core.data.manifest import Manifest
from core.data.splits.make import grouped
from core.data.splits.official import OfficialList
from core.data.splits.split import Method, Part, Split, SplitRule
from core.errors import DataError, UsageError

# A held-out clip is worth more than a trained one: where two parts share, training gives way.
_PRECEDENCE = (Part.TEST, Part.VAL, Part.TRAIN)


def import_split(
    manifest: Manifest,
    listings: Sequence[Listing],
    *,
    against: Sequence[Listing] = (),
    official: OfficialList | None = None,
    labels: LabelMap | None = None,
) -> Split:
    """The split of three lists, one a part; each notice says what a reader should know of it.

    against: parts of other splits that it is held against. Ids that are no clean pair of the
    manifest are left out, as are clips whose source or bytes a part of higher precedence holds
    (test, val, train): both are said.
    Raises: UsageError for lists that are not one of each part; DataError when an id is in two of
    them, or no id is in the manifest.
    """
    by_part = _one_of_each(listings)
    for sharing in find_sharing(list(by_part.values())):
        if sharing.shared_by is SharedBy.ID:
            raise DataError(
                f"{sharing.sentence()}: {', '.join(sharing.ids[:5])}; a clip belongs in one part, "
                "remove it from the other"
            )
    known = {sample.id: sample for sample in manifest.samples}
    notices: list[str] = list(manifest.notices)
    chosen: dict[Part, list[Sample]] = {}
    for part in Part:
        listing = by_part[part]
        chosen[part] = [known[clip.id] for clip in listing.clips if clip.id in known]
        notices += _left_out(listing, manifest=manifest, known=known)
        notices += _relabelled(listing, known=known)
    if not any(chosen.values()):
        raise DataError(
            f"none of the ids in {', '.join(listing.name for listing in listings)} is a clean pair "
            "of the manifest; import the split of the folder that was ingested"
        )
    notices += _without_sharing(chosen)
    own = list(by_part.values())
    audit = audit_listings(own, official=official, labels=labels)
    notices += [finding.sentence for finding in audit.findings]
    names = {listing.name for listing in own}
    notices += [
        sharing.sentence()
        for sharing in find_sharing([*own, *against])
        if sharing.is_leak and len(names & {sharing.first, sharing.second}) == 1
    ]
    notices += audit.not_checked
    listed = sorted((s for of_part in chosen.values() for s in of_part), key=lambda s: s.id)
    samples, groups = grouped(listed, kind=manifest.kind)
    return Split(
        root=manifest.root,
        samples={sample.id: sample for sample in samples},
        parts={part: tuple(sorted(s.id for s in chosen[part])) for part in Part},
        rule=SplitRule(cap=None, seed=None, fractions=None, method=Method.IMPORTED, groups=groups),
        notices=tuple(notices),
        kind=manifest.kind,
    )


def _one_of_each(listings: Sequence[Listing]) -> dict[Part, Listing]:
    found = Counter(listing.part for listing in listings)
    if found == Counter(Part):
        return {listing.part: listing for listing in listings if listing.part is not None}
    files = ", ".join(f"{x.name} ({x.part.value if x.part else 'no part'})" for x in listings)
    shared = [sharing for sharing in find_sharing(listings) if sharing.is_leak]
    leak = "".join(f"\n  {sharing.sentence()}" for sharing in shared)
    raise UsageError(
        f"a split is imported from three files, one for each of train, val and test; got {files}. "
        "The part is read from the file's name, or given as train=FILE"
        + (f". Together these files share clips between parts:{leak}" if leak else "")
    )


def _left_out(
    listing: Listing, *, manifest: Manifest, known: Mapping[str, Sample]
) -> Iterator[str]:
    reasons = {item.id: item.reason for item in manifest.exclusions}
    missing = Counter(
        (reason.value if reason else "not in the manifest")
        for clip in listing.clips
        if clip.id not in known
        for reason in [reasons.get(clip.id)]
    )
    if missing:
        shown = ", ".join(f"{count} {reason}" for reason, count in missing.most_common())
        num = len(listing.clips)
        yield f"{listing.name}: {missing.total()} of {num} clips are left out: {shown}"


def _relabelled(listing: Listing, *, known: Mapping[str, Sample]) -> Iterator[str]:
    other = Counter(
        (clip.class_name, known[clip.id].class_name)
        for clip in listing.clips
        if clip.id in known and known[clip.id].class_name not in ("", clip.class_name)
    )
    for (listed, ours), count in other.most_common():
        yield (
            f"{listing.name}: {count} clips are listed as {listed} and are {ours} in the manifest, "
            "which is what counts"
        )


def _without_sharing(chosen: dict[Part, list[Sample]]) -> Iterator[str]:
    """Drops, in place, what a part of higher precedence holds under another id."""
    owner: dict[str, tuple[Part, str]] = {}
    for part in _PRECEDENCE:
        kept: list[Sample] = []
        for sample in chosen[part]:
            keys = (
                f"source {sample.source}",
                f"bytes {sample.audio_sha256}",
                f"bytes {sample.image_sha256}",
            )
            taken = [owner[key] for key in keys if key in owner and owner[key][0] is not part]
            if taken:
                other_part, other_id = taken[0]
                yield (
                    f"{sample.id} is left out of {part.value}: it shares its source or its bytes "
                    f"with {other_id} of {other_part.value}"
                )
                continue
            kept.append(sample)
            for key in keys:
                owner.setdefault(key, (part, sample.id))
        chosen[part] = kept
