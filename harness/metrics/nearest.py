"""Memorisation: the nearest training picture of each image.

Shape legend: I images, T training pictures, D feature width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from harness.metrics.arms import REAL
from harness.metrics.per_clip import unit_rows

_HIGH_QUANTILE = 0.95


@dataclass(frozen=True)
class NearestOfArm:
    """How close an arm's images come to training pictures."""

    n: int
    """Images."""
    mean: float
    """Mean cosine of an image and its nearest training picture."""
    max: float
    """Largest of them."""
    share_above_real_p95: float | None
    """Share of images that are closer to a training picture than 95 % of the real test pictures
    are; about 0.05 without memorisation. None without real pictures."""


@dataclass(frozen=True)
class NearestTraining:
    """Nearest training picture of every image of a run, in CLIP's image features."""

    table: pd.DataFrame
    """Columns sample_id, class_name, arm, draw, nearest_id, similarity; one row an image, those
    of arm `real` being the real test pictures."""
    num_training: int
    """Training pictures that were searched."""
    extractor: str
    """Name of the scorer."""
    extractor_hash: str
    """Hash of its files."""

    def record(self) -> dict[str, Any]:
        """The summary by arm, ready for JSON."""
        similarity = {
            str(arm): rows.to_numpy(dtype=np.float64)
            for arm, rows in self.table.groupby("arm", sort=False)["similarity"]
        }
        return {
            "extractor": self.extractor,
            "extractor_hash": self.extractor_hash,
            "num_training": self.num_training,
            "arms": {arm: asdict(_summary(arm, similarity)) for arm in similarity},
        }


def nearest_rows(
    images_ID: ArrayLike, *, training_TD: ArrayLike, training_ids: Sequence[str]
) -> tuple[list[str], NDArray[np.float64]]:
    """(id of the nearest training picture, [I] cosine to it); the first of equally near ones."""
    similarity_IT = unit_rows(images_ID) @ unit_rows(training_TD).T
    nearest = similarity_IT.argmax(axis=1)
    return [training_ids[k] for k in nearest], similarity_IT[np.arange(len(nearest)), nearest]


def _summary(arm: str, similarity: Mapping[str, NDArray[np.float64]]) -> NearestOfArm:
    of_arm, real = similarity[arm], similarity.get(REAL)
    above = None
    if real is not None:
        above = float((of_arm > np.quantile(real, _HIGH_QUANTILE)).mean())
    return NearestOfArm(len(of_arm), float(of_arm.mean()), float(of_arm.max()), above)
