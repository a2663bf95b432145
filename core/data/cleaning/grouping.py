"""Which pairs belong together: those that share a source or bytes are grouped, those that are only
nearly equal are marked (docs/decisions says why)."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from core.data.groups import joined
from core.data.items import Item, Status
from core.data.media.decode_audio import AudioFacts
from core.data.media.decode_image import ImageFacts
from core.data.media.inspection import FileOutcome
from core.data.media.near_duplicates import near_duplicate_pictures, near_duplicate_sounds
from core.data.media.quality import Flag, is_flat


@dataclass
class Contents:
    """What near duplicates are found by, of every usable content that was seen."""

    fingerprints: dict[str, bytes] = field(default_factory=dict)
    """Of sounds, by the hash of the file."""
    hashes: dict[str, int] = field(default_factory=dict)
    """Of pictures, by the hash of the file."""

    def note(self, outcome: FileOutcome) -> None:
        """Keep what a file is told by."""
        facts, sha256 = outcome.facts, str(outcome.sha256)
        if isinstance(facts, AudioFacts) and facts.fingerprint is not None:
            self.fingerprints[sha256] = facts.fingerprint
        # All dark frames look alike; that is what the flag for flat pictures says.
        if isinstance(facts, ImageFacts) and facts.hash is not None and not is_flat(facts):
            self.hashes[sha256] = facts.hash


def mark_near_duplicates(items: Sequence[Item], *, contents: Contents) -> list[Item]:
    """The items with flags and first ids; equal bytes are `duplicate_of`, not near duplicates."""
    sounds = near_duplicate_sounds(contents.fingerprints)
    pictures = near_duplicate_pictures(contents.hashes)
    first_sound: dict[str, Item] = {}
    first_picture: dict[str, Item] = {}
    marked = []
    for item in items:
        if item.status is not Status.INCLUDED:
            marked.append(item)
            continue
        audio, image = str(item.audio_sha256), str(item.image_sha256)
        sound = first_sound.setdefault(sounds.get(audio, audio), item)
        picture = first_picture.setdefault(pictures.get(image, image), item)
        flags, changes = set(item.flags), dict[str, Any]()
        if sound.audio_sha256 != audio:
            flags.add(Flag.NEAR_DUPLICATE_AUDIO)
            changes["near_duplicate_audio_of"] = sound.id
        if picture.image_sha256 != image:
            flags.add(Flag.NEAR_DUPLICATE_IMAGE)
            changes["near_duplicate_image_of"] = picture.id
        marked.append(replace(item, flags=tuple(sorted(flags)), **changes) if changes else item)
    return marked


def group_linked(items: Sequence[Item]) -> tuple[Item, ...]:
    """The items; those linked by a source or by content get one group."""
    place: dict[str, int] = {}
    links: list[tuple[int, int]] = []
    first: dict[str, str] = {}
    duplicate_of: dict[str, str] = {}
    included = [item for item in items if item.status is Status.INCLUDED]
    for item in included:
        for content in (f"audio {item.audio_sha256}", f"image {item.image_sha256}"):
            source = place.setdefault(f"source {item.source}", len(place))
            links.append((source, place.setdefault(content, len(place))))
            if first.setdefault(content, item.id) != item.id:
                duplicate_of.setdefault(item.id, first[content])
    head = joined(np.arange(len(place)), *np.array(links, dtype=np.int64).reshape(-1, 2).T)
    names: dict[int, list[str]] = defaultdict(list)
    for item in included:
        names[head[place[f"source {item.source}"]]].append(str(item.source))
    group = {root: min(members) for root, members in names.items()}
    return tuple(
        replace(
            item,
            group=group[head[place[f"source {item.source}"]]],
            duplicate_of=duplicate_of.get(item.id),
        )
        if item.status is Status.INCLUDED
        else item
        for item in items
    )
