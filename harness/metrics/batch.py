"""All images of a run with the real ones, each embedded once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.metrics.arms import ScoredClip
from harness.metrics.scorers import ImageReading, Scorers

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """One image file to score, generated or real."""

    sample_id: str
    arm: str
    draw: int
    path: Path


class Batch:
    """All images of a run with the real ones, each embedded once."""

    def __init__(
        self, rows: Sequence[Row], *, by_id: Mapping[str, ScoredClip], scorers: Scorers
    ) -> None:
        self.rows = rows
        self.clips = list(by_id.values())
        self.column = {sample_id: index for index, sample_id in enumerate(by_id)}
        self.own = [self.column[row.sample_id] for row in rows]
        self.scorers = scorers
        paths = [row.path for row in rows]
        self.features_ID = scorers.clip.images(paths)
        judge = scorers.image_judge
        self.reading: ImageReading | None = judge.read(paths) if judge else None

    def features(self, arm: str, *, draw: int) -> Array:
        """[I, D] CLIP features of one arm and draw."""
        chosen = [i for i, row in enumerate(self.rows) if (row.arm, row.draw) == (arm, draw)]
        return self.features_ID[chosen]

    def draws(self, arm: str) -> list[int]:
        """Draws of one arm, ascending."""
        return sorted({row.draw for row in self.rows if row.arm == arm})
