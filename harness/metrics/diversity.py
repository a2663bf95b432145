"""Diversity: how much the images of one clip differ from each other.

Shape legend: I images, D feature width.
"""

from collections.abc import Callable, Hashable, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from harness.metrics.extractor import Extractor
from harness.metrics.metric import ClipMetric, Role

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from harness.metrics.batch import Batch

    Array = NDArray[np.float64]


def mean_distance_to_others(
    groups: Sequence[Hashable], *, distance: Callable[[int, int], float]
) -> "Array":
    """[I] mean distance of each image to the others of its group; NaN for one that is alone.

    Its mean over a group is the mean over the group's pairs.
    """
    import numpy as np

    members = _members(groups)
    total = np.zeros(len(groups))
    for indices in members.values():
        for i, j in combinations(indices, 2):
            apart = distance(i, j)
            total[i] += apart
            total[j] += apart
    others = np.array([len(members[group]) - 1 for group in groups])
    return np.where(others > 0, total / np.maximum(others, 1), np.nan)


def feature_diversity(features_ID: "ArrayLike", *, groups: Sequence[Hashable]) -> "Array":
    """[I] mean cosine distance (1 - cosine) of each image to the others of its group."""
    from harness.metrics.per_clip import unit_rows

    unit_ID = unit_rows(features_ID)
    return mean_distance_to_others(
        groups, distance=lambda i, j: float(1.0 - unit_ID[i] @ unit_ID[j])
    )


def _members(groups: Sequence[Hashable]) -> dict[Hashable, list[int]]:
    members: dict[Hashable, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    return members


def _groups(batch: "Batch") -> list[tuple[str, str]]:
    return [(row.sample_id, row.arm) for row in batch.rows]


def _judge_diversity(batch: "Batch") -> "Array":
    if batch.reading is None:
        raise ValueError("the judge's features are read by an image judge; none was loaded")
    return feature_diversity(batch.reading.features, groups=_groups(batch))


def _lpips_diversity(batch: "Batch") -> "Array":
    lpips = batch.scorers.lpips
    if lpips is None:
        raise ValueError("LPIPS was not loaded")
    groups = _groups(batch)
    apart = {
        (i, j): float(matrix[a, b])
        for indices in _members(groups).values()
        if len(indices) > 1
        for matrix in [lpips.pairwise([batch.rows[i].path for i in indices])]
        for a, i in enumerate(indices)
        for b, j in enumerate(indices)
    }
    return mean_distance_to_others(groups, distance=lambda i, j: apart[i, j])


_READING = "More is not better by itself, since noise is diverse: read it next to the distances."

METRICS = (
    ClipMetric(
        name="lpips_diversity",
        compute=_lpips_diversity,
        higher_is_better=True,
        role=Role.DIVERSITY,
        extractor=Extractor.LPIPS,
        unit="LPIPS",
        definition="mean pairwise LPIPS (AlexNet, 256 px) of one clip's images over its draws",
        reading=_READING,
        lowest=0.0,
        min_draws=2,
    ),
    ClipMetric(
        name="judge_diversity",
        compute=_judge_diversity,
        higher_is_better=True,
        role=Role.DIVERSITY,
        extractor=Extractor.IMAGE_JUDGE,
        unit="1 - cosine",
        definition="mean pairwise distance of one clip's images over its draws, in the image "
        "judge's features; not LPIPS",
        reading=_READING,
        lowest=0.0,
        highest=2.0,
        min_draws=2,
    ),
)
