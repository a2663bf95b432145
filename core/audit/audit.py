"""All checks of an audit over everything it was given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.audit.division import check_division, check_official
from core.audit.finding import Finding, Kind
from core.audit.label_rules import check_conflicts, check_labels
from core.audit.listing import Listing, families, with_official
from core.audit.sharing import Sharing, find_sharing
from core.audit.zero_shot import ZeroShot
from core.data.labels import LabelMap
from core.data.splits.official import OfficialList


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What was looked at, what was found, and what could not be checked."""

    clips: Mapping[str, int]
    """Clips of each list."""
    findings: tuple[Finding, ...]
    zero_shot: tuple[ZeroShot, ...]
    """One for each target with media; empty when it was not asked for."""
    not_checked: tuple[str, ...]
    """Checks that lacked what they need, as sentences that say how to give it."""

    def data(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "clips": dict(self.clips),
            "findings": [finding.data() for finding in self.findings],
            "zero_shot": [result.data() for result in self.zero_shot],
            "not_checked": list(self.not_checked),
        }


def audit_listings(
    listings: Sequence[Listing],
    *,
    official: OfficialList | None,
    labels: LabelMap | None,
    zero_shot: Sequence[ZeroShot] = (),
    not_checked: Sequence[str] = (),
) -> Audit:
    """Every check that these lists allow; nothing is changed."""
    missing = list(not_checked)
    marked = list(listings)
    if official is not None:
        marked = [with_official(listing, official) for listing in listings]
    elif not any(clip.official_split for listing in listings for clip in listing.clips):
        missing.append(
            "whose clips are of the data set's official test part: name its list with --official"
        )
    findings = [_shared(sharing) for sharing in find_sharing(_divided(marked))]
    for listing in marked:
        findings += check_official(listing)
    if labels is not None and any(c.source_label for listing in marked for c in listing.clips):
        for listing in marked:
            findings += check_labels(listing, labels=labels)
    else:
        missing.append(
            "whether labels mean their classes: that needs the source's labels (--official, or "
            "data ingested from a list) and a map of them (--label-map)"
        )
    findings += check_conflicts(marked)
    for parts in families(marked).values():
        findings += check_division(parts)
    return Audit(
        clips={listing.name: len(listing.clips) for listing in listings},
        findings=tuple(findings),
        zero_shot=tuple(zero_shot),
        not_checked=tuple(missing),
    )


def _divided(listings: Sequence[Listing]) -> list[Listing]:
    # A manifest holds every split drawn from it: that is not sharing.
    parts = [listing for listing in listings if listing.part is not None]
    return parts if parts else list(listings)


def _shared(sharing: Sharing) -> Finding:
    return Finding(
        Kind.SHARED_CLIPS,
        sharing.sentence(),
        sharing.ids,
        {
            "first": sharing.first,
            "second": sharing.second,
            "shared_by": sharing.shared_by.value,
            "shared": len(sharing.ids),
            "num_first": sharing.num_first,
            "num_second": sharing.num_second,
            "is_leak": sharing.is_leak,
        },
    )
