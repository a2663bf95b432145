"""Whose sound a clip is given in the mismatched arms. Light: reports play it."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from core.data.items import DataKind
from core.data.splits.split import Split
from core.data.splits.words import texts_of, word_vectors
from core.randomness import rng

MOST_TOGETHER = 1_500
"""Clips that are matched at once; of more, each group of captions by itself. A matching takes time
by the cube: 1,500 clips take about a second."""
_FORBIDDEN = 10.0
"""Above any distance of captions, which is 1 at most."""


def partners_of(split: Split, *, ids: Sequence[str]) -> dict[str, str]:
    """Another clip for each of `ids` that has one, whose sound is hard to tell from its own: of its
    class; without classes, of the nearest captions."""
    if split.kind is DataKind.CLASSES:
        return shuffle_within_class(split, ids=ids)
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


def nearest_captions(split: Split, *, ids: Sequence[str]) -> dict[str, str]:
    """Another of the clips for each, so that all captions together are as near as can be.

    Each sound is used once (a least-cost assignment) and none is of the clip's own source; nearness
    is the cosine of the captions' words, with how rare a word is counted over the whole split.
    """
    names = list(split.samples)
    rows_NV = word_vectors(texts_of(split.samples.values())).rows_NV
    place = {name: index for index, name in enumerate(names)}
    blocks: list[Sequence[str]] = [ids]
    if len(ids) > MOST_TOGETHER:
        by_group: dict[str, list[str]] = {}
        for id_ in ids:
            by_group.setdefault(split.samples[id_].class_name, []).append(id_)
        blocks = [
            own[start : start + MOST_TOGETHER]
            for _, own in sorted(by_group.items())
            for start in range(0, len(own), MOST_TOGETHER)
        ]
    partners: dict[str, str] = {}
    for block in blocks:
        own = sorted(block)
        rows_BV = rows_NV[[place[id_] for id_ in own]]
        distance_BB = 1.0 - (rows_BV @ rows_BV.T).toarray()
        source_B = np.array([split.samples[id_].source for id_ in own])
        distance_BB[source_B[:, None] == source_B[None, :]] = _FORBIDDEN
        _, column_B = linear_sum_assignment(distance_BB)
        partners |= {
            id_: own[column]
            for row, (id_, column) in enumerate(zip(own, column_B, strict=True))
            if distance_BB[row, column] < _FORBIDDEN
        }
    return partners


def _cycle(ids: Sequence[str], *, name: tuple[str, str]) -> Mapping[str, str]:
    order = [ids[k] for k in rng(0, *name).permutation(len(ids))]
    return dict(zip(order, [*order[1:], order[0]], strict=True)) if len(order) > 1 else {}
