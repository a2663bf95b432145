"""How much the images of one clip differ among each other.

Shape legend: I images, D feature width.
"""

from collections.abc import Callable, Hashable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from core.errors import DataError
from harness.metrics.per_clip import unit_rows
from harness.records.folders import IMAGE_FEATURES

Array = NDArray[np.float64]
"""File of a run's folder with the features of its images; see `over_runs`."""


def mean_distance_to_others(
    groups: Sequence[Hashable], *, distance: Callable[[int, int], float]
) -> Array:
    """[I] mean distance of each image to the others of its group; NaN for one that is alone.

    Its mean over a group is the mean over the group's pairs.
    """
    members: dict[Hashable, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    total = np.zeros(len(groups))
    for indices in members.values():
        for i, j in combinations(indices, 2):
            apart = distance(i, j)
            total[i] += apart
            total[j] += apart
    others = np.array([len(members[group]) - 1 for group in groups])
    return np.where(others > 0, total / np.maximum(others, 1), np.nan)


def feature_diversity(features_ID: ArrayLike, *, groups: Sequence[Hashable]) -> Array:
    """[I] mean cosine distance (1 - cosine) of each image to the others of its group."""
    unit_ID = unit_rows(features_ID)
    return mean_distance_to_others(
        groups, distance=lambda i, j: float(1.0 - unit_ID[i] @ unit_ID[j])
    )


def over_runs(folders: Sequence[Path], *, arm: str, features: str = "judge") -> pd.DataFrame:
    """Columns sample_id, n, value: mean cosine distance of a clip's images over several runs.

    folders: runs of one branch at several seeds on one split. features: `judge` or `clip`.

    Raises:
        DataError: a run without those features (made before they were kept, or without judges).
    """
    ids: list[str] = []
    rows: list[Array] = []
    for folder in folders:
        try:
            with np.load(folder / IMAGE_FEATURES, allow_pickle=False) as stored:
                chosen = stored["arm"] == arm
                ids += stored["sample_id"][chosen].tolist()
                rows.append(stored[features][chosen].astype(np.float64))
        except (OSError, KeyError, ValueError) as error:
            raise DataError(
                f"{folder} holds no '{features}' features of its images ({error}); run it again"
            ) from None
    if not ids:
        raise DataError(f"no images of arm '{arm}' in {len(folders)} runs")
    values = feature_diversity(np.concatenate(rows), groups=ids)
    table = pd.DataFrame({"sample_id": ids, "value": values})
    return table.groupby("sample_id", sort=False, as_index=False).agg(
        n=("value", "size"), value=("value", "mean")
    )
