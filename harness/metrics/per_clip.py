"""Scores of single images, on plain arrays in float64.

Shape legend: I images, R reference clips, K classes, A attributes, D embedding width.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

TIE_TOLERANCE = 1e-6
"""Similarities closer than this are ties: the extractors compute in float32."""


def unit_rows(vectors: ArrayLike) -> Array:
    """The rows scaled to length 1, float64. Raises: ValueError for a zero or non-finite row."""
    rows = np.asarray(vectors, dtype=np.float64)
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    if not np.all(np.isfinite(length)) or np.any(length == 0):
        raise ValueError("an embedding is zero or not finite; expected finite, non-zero rows")
    return rows / length


def clip_score(image_ID: ArrayLike, *, caption_ID: ArrayLike) -> Array:
    """[I] cosine of each image with its own caption. Neither clipped at 0 nor scaled by 100."""
    return np.einsum("id,id->i", unit_rows(image_ID), unit_rows(caption_ID))


def aic(image_ID: ArrayLike, *, class_caption_KD: ArrayLike, is_own_IK: ArrayLike) -> Array:
    """[I] 1 where a caption of the image's own classes is the closest, 0 elsewhere.

    Where m captions are equally close, the share of them that are its own, so that constant
    features score chance.
    """
    similarity = unit_rows(image_ID) @ unit_rows(class_caption_KD).T
    best = similarity.max(axis=1, keepdims=True) - similarity <= TIE_TOLERANCE
    own = (best & np.asarray(is_own_IK, dtype=bool)).sum(axis=1)
    return own / best.sum(axis=1)


def win_rate(
    similarity_IR: ArrayLike, *, own: Sequence[int], compared_IR: NDArray[np.bool_] | None = None
) -> Array:
    """[I] share of the reference clips that an image resembles less than its own; ties half.

    `own[i]` is the column of image i's own clip, which is never compared with itself.
    `compared_IR` limits the references of each image (None: all). An image without any
    reference left has no rank: NaN. Chance is 0.5.
    """
    similarity = np.asarray(similarity_IR, dtype=np.float64)
    rows = np.arange(len(similarity))
    columns = np.asarray(own, dtype=np.int64)
    compared = (
        np.ones(similarity.shape, dtype=bool) if compared_IR is None else compared_IR.astype(bool)
    )
    compared[rows, columns] = False
    ahead = similarity[rows, columns][:, None] - similarity
    won = np.where(np.abs(ahead) <= TIE_TOLERANCE, 0.5, (ahead > 0).astype(np.float64))
    number = compared.sum(axis=1)
    share = (won * compared).sum(axis=1) / np.maximum(number, 1)
    return np.where(number > 0, share, np.nan)


def attribute_errors(read_IA: ArrayLike, *, true_IA: ArrayLike) -> Array:
    """[I, A] absolute difference, both in [0, 1]."""
    return np.abs(np.asarray(read_IA, dtype=np.float64) - np.asarray(true_IA, dtype=np.float64))
