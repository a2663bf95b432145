"""The clip of the nearest captions for each clip: a mismatched sound that is hard to tell."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from core.data.splits.split import Split
from core.data.splits.words import texts_of, word_vectors

MOST_TOGETHER = 1_500
"""Clips that are matched at once; of more, each group of captions by itself. A matching takes time
by the cube: 1,500 clips take about a second."""
_FORBIDDEN = 10.0
"""Above any distance of captions, which is 1 at most."""


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
