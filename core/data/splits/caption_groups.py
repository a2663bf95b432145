"""Clips with captions alone, in groups of like captions: what their split is stratified by.

Shape legend: N clips, G groups, D width of a caption's vector.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.data.items import Sample
from core.data.splits.words import group_names, texts_of, typical_words, word_vectors
from core.errors import DataError
from core.randomness import rng

CLIPS_A_GROUP = 20
"""Of which a tenth, the test part, holds two: a clip can be told from another of its group."""
MOST_GROUPS = 50
FEWEST_SOURCES = 10
"""Smaller groups join the nearest: fewer could not be in all three parts in their share."""
_NUM_ROUNDS = 30

Array = NDArray[np.float64]


def caption_groups(
    samples: Sequence[Sample], *, vectors: Mapping[str, Sequence[float]] | None = None
) -> dict[str, str]:
    """Group by id, by k-means of the captions on the sphere (Dhillon and Modha 2001).

    vectors: of each clip's caption by id, by a text encoder; None takes the captions' words.
    One group for every 20 clips, 50 at most. The same captions give the same groups, whatever the
    seed of a split. Raises: DataError for a caption without a vector.
    """
    ordered = sorted(samples, key=lambda sample: sample.id)
    words = word_vectors(texts_of(ordered))
    rows_ND: Any = words.rows_NV
    if vectors is not None:
        missing = [sample.id for sample in ordered if sample.id not in vectors]
        if missing:
            raise DataError(f"the caption of {missing[0]!r} has no vector of the text encoder")
        rows_ND = np.array([vectors[sample.id] for sample in ordered], dtype=np.float64)
        rows_ND -= rows_ND.mean(axis=0)  # what all captions share tells none apart
        rows_ND /= np.maximum(np.linalg.norm(rows_ND, axis=1, keepdims=True), 1e-12)
    number = max(1, min(MOST_GROUPS, len(ordered) // CLIPS_A_GROUP))
    group_N = _joined(_k_means(rows_ND, number), rows_ND, sources=[s.source for s in ordered])
    sizes = np.bincount(group_N)
    order = sorted(np.unique(group_N).tolist(), key=lambda g: (-sizes[g], g))
    names = group_names(typical_words(group_N, words), order=order)
    return {s.id: names[int(g)] for s, g in zip(ordered, group_N, strict=True)}


def _k_means(rows_ND: Any, number: int) -> NDArray[np.int64]:
    """Group of each row; the first centres are rows far from one another (k-means++)."""
    num_rows = rows_ND.shape[0]
    if number < 2:
        return np.zeros(num_rows, dtype=np.int64)
    draw = rng(0, "groups of captions")
    chosen = [int(draw.integers(num_rows))]
    nearest_N = _dense(rows_ND @ _row(rows_ND, chosen[0]))
    while len(chosen) < number:
        far_N = np.maximum(1.0 - nearest_N, 0.0)
        far_N[chosen] = 0.0
        total = far_N.sum()
        if total <= 0:  # no other captions are left
            break
        chosen.append(int(draw.choice(num_rows, p=far_N / total)))
        nearest_N = np.maximum(nearest_N, _dense(rows_ND @ _row(rows_ND, chosen[-1])))
    centres_GD = np.stack([_row(rows_ND, place) for place in chosen])
    group_N = np.full(num_rows, -1, dtype=np.int64)
    for _ in range(_NUM_ROUNDS):
        found_N = np.argmax(_dense(rows_ND @ centres_GD.T), axis=1)
        if np.array_equal(found_N, group_N):
            break
        group_N = found_N
        centres_GD = _centres(rows_ND, group_N, before_GD=centres_GD)
    return group_N


def _joined(
    group_N: NDArray[np.int64], rows_ND: Any, *, sources: Sequence[str]
) -> NDArray[np.int64]:
    """The groups after each one of too few sources has joined the nearest other, least first."""
    group_N = group_N.copy()
    source_N = np.array(sources)
    while True:
        groups = np.unique(group_N)
        num_sources = {int(g): len(np.unique(source_N[group_N == g])) for g in groups}
        least = min(num_sources, key=lambda g: (num_sources[g], g))
        if len(groups) < 2 or num_sources[least] >= FEWEST_SOURCES:
            return group_N
        others = [int(g) for g in groups if g != least]
        whole = np.zeros((max(num_sources) + 1, rows_ND.shape[1]))
        centres_GD = _centres(rows_ND, group_N, before_GD=whole)
        like = centres_GD[others] @ centres_GD[least]
        group_N[group_N == least] = others[int(np.argmax(like))]


def _centres(rows_ND: Any, group_N: NDArray[np.int64], *, before_GD: Array) -> Array:
    """Mean of each group's rows at length 1; a group without rows stays where it was."""
    centres_GD = before_GD.copy()
    for group in np.unique(group_N):
        total_D = np.asarray(rows_ND[group_N == group].sum(axis=0)).ravel()
        length = float(np.sqrt((total_D**2).sum()))
        if length > 0:
            centres_GD[group] = total_D / length
    return centres_GD


def _row(rows_ND: Any, place: int) -> Array:
    return _dense(rows_ND[[place]]).ravel()


def _dense(values: Any) -> Array:
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values, dtype=np.float64)
