"""Memorisation: the nearest training picture of each image.

Shape legend: I images, T training pictures, D feature width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from harness.metrics.arms import REAL
from harness.metrics.per_clip import unit_rows
from harness.records.parts import NearestOfArm, NearestSummary

_HIGH_QUANTILE = 0.95


@dataclass(frozen=True, kw_only=True)
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

    def summary(self) -> NearestSummary:
        """What a record holds of it: how close each arm comes."""
        similarity = {
            str(arm): rows.to_numpy(dtype=np.float64)
            for arm, rows in self.table.groupby("arm", sort=False)["similarity"]
        }
        return NearestSummary(
            extractor=self.extractor,
            extractor_hash=self.extractor_hash,
            num_training=self.num_training,
            arms={arm: _summary(arm, similarity) for arm in similarity},
        )


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
    return NearestOfArm(
        n=len(of_arm),
        mean=float(of_arm.mean()),
        max=float(of_arm.max()),
        share_above_real_p95=above,
    )
