"""Which clips two lists share: the same id, the same bytes, or another cut of one source."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

from core.audit.listing import Clip, Listing
from core.data.splits.split import Part

_HELD_OUT_FIRST = (Part.TEST, Part.VAL, Part.TRAIN, None)


class SharedBy(StrEnum):
    """What two clips have in common; the first of these that holds is reported."""

    ID = "id"
    CONTENT = "content"  # the bytes of the sound or of the picture
    SOURCE = "source"  # another cut of the same video


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """Clips of one list that another list holds too."""

    first: str
    """Name of the list whose clips are counted; of two parts, the one that is held out."""
    second: str
    """Name of the other."""
    shared_by: SharedBy
    ids: tuple[str, ...]
    """Of the first list, sorted."""
    num_first: int
    """Clips in the first list."""
    num_second: int
    is_leak: bool
    """The two are used for different ends, so one has seen what the other asks."""

    def sentence(self) -> str:
        """For a person."""
        how = {
            SharedBy.ID: "are also in",
            SharedBy.CONTENT: "have the same bytes under another id in",
            SharedBy.SOURCE: "are cut from a source that is also in",
        }[self.shared_by]
        return (
            f"{len(self.ids)} of the {self.num_first} clips of {self.first} {how} {self.second} "
            f"({self.num_second} clips)"
        )


def find_sharing(listings: Sequence[Listing]) -> tuple[Sharing, ...]:
    """Every pair of lists with something in common, leaks first, then by number of clips."""
    found = [sharing for pair in combinations(listings, 2) for sharing in _between(*pair)]
    return tuple(
        sorted(found, key=lambda s: (not s.is_leak, -len(s.ids), s.first, s.second, s.shared_by))
    )


def _between(one: Listing, other: Listing) -> Iterator[Sharing]:
    first, second = sorted((one, other), key=lambda listing: _HELD_OUT_FIRST.index(listing.part))
    ids = {clip.id for clip in second.clips}
    contents = {content for clip in second.clips for content in _contents(clip)}
    sources = {clip.source for clip in second.clips}
    shared: dict[SharedBy, list[str]] = {kind: [] for kind in SharedBy}
    for clip in first.clips:
        if clip.id in ids:
            shared[SharedBy.ID].append(clip.id)
        elif not contents.isdisjoint(_contents(clip)):
            shared[SharedBy.CONTENT].append(clip.id)
        elif clip.source in sources:
            shared[SharedBy.SOURCE].append(clip.id)
    for kind, found in shared.items():
        if found:
            yield Sharing(
                first=first.name,
                second=second.name,
                shared_by=kind,
                ids=tuple(sorted(found)),
                num_first=len(first.clips),
                num_second=len(second.clips),
                is_leak=first.part is not second.part,
            )


def _contents(clip: Clip) -> tuple[str, ...]:
    return tuple(content for content in (clip.audio_sha256, clip.image_sha256) if content)
