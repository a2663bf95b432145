"""Whose sound a clip is given in the mismatched arm. Light: reports play it."""

from collections.abc import Sequence

from core.data.splits.split import Split
from core.randomness import rng


def shuffle_within_class(split: Split, *, ids: Sequence[str]) -> dict[str, str]:
    """Another of the clips, of the same class, for each clip that has one.

    A cycle through a seeded order, so that each sound is used once and none meets its own image.
    """
    partners: dict[str, str] = {}
    for class_name in split.classes:
        own = [i for i in ids if split.samples[i].class_name == class_name]
        order = [own[k] for k in rng(0, "shuffle", class_name).permutation(len(own))]
        if len(order) > 1:
            partners |= dict(zip(order, [*order[1:], order[0]], strict=True))
    return partners
