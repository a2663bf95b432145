"""Whose sound a clip is given in the mismatched arms.

Light, since a comparison that is done looks it up: what matches captions is imported when captions
are there.
"""

from collections.abc import Mapping, Sequence

from core.data.items import DataKind
from core.data.splits.split import Split
from core.randomness import rng


def partners_of(split: Split, *, ids: Sequence[str]) -> dict[str, str]:
    """Another clip for each of `ids` that has one, whose sound is hard to tell from its own: of its
    class; without classes, of the nearest captions."""
    if split.kind is DataKind.CLASSES:
        return shuffle_within_class(split, ids=ids)
    from harness.run.nearest_captions import nearest_captions

    return nearest_captions(split, ids=ids)


def shuffle_within_class(split: Split, *, ids: Sequence[str]) -> dict[str, str]:
    """Another of the clips, of the same class, for each clip that has one.

    A cycle through a seeded order, so that each sound is used once and none meets its own image.
    """
    partners: dict[str, str] = {}
    for class_name in split.classes:
        own = [i for i in ids if split.samples[i].class_name == class_name]
        partners |= _cycle(own, name=("shuffle", class_name))
    return partners


def shuffle_all(split: Split, *, ids: Sequence[str]) -> dict[str, str]:
    """Another of the clips for each, by lot among all; each sound is used once.

    A clip whose lot is of its own source has none.
    """
    found = _cycle(ids, name=("shuffle", "by chance"))
    source = {id_: split.samples[id_].source for id_ in ids}
    return {id_: other for id_, other in found.items() if source[id_] != source[other]}


def _cycle(ids: Sequence[str], *, name: tuple[str, str]) -> Mapping[str, str]:
    order = [ids[k] for k in rng(0, *name).permutation(len(ids))]
    return dict(zip(order, [*order[1:], order[0]], strict=True)) if len(order) > 1 else {}
