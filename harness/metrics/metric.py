"""What a metric is: how it is computed, what it needs, and how its numbers are read.

A metric is declared in one place: one object of `ClipMetric` or `SetMetric` in the file of its
family, or in a package of its own (docs/metrics.md). This module loads without the libraries that
compute.

Shape legend: I images.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from core.data.items import DataKind
from harness.metrics.extractor import MISSING, Extractor
from harness.wording.numbers import metric_label

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.metrics.batch import Batch
    from harness.records.parts import CurvePoint


_NOT_OF = {
    DataKind.CLASSES: "clips of this data have no class",
    DataKind.LABELS: "clips of this data do not have several labels",
    DataKind.CAPTIONS: "clips of this data have more than captions",
}
"""Why a metric is blank that is of one kind of data alone."""


class Level(StrEnum):
    """What one value of a metric belongs to."""

    CLIP = "clip"  # one image; averaged over draws, then over clips
    SET = "set"  # all images of an arm together
    TRAINING = "training"  # the trained model, without any image


class Role(StrEnum):
    """What a metric is for."""

    LISTENING = "listening"  # does the image show what only the sound says
    AGREEMENT = "agreement"  # do image and sound, or image and class, belong together
    TEXT = "text"  # does the caption survive
    QUALITY = "quality"  # do the images look like the real ones
    DIVERSITY = "diversity"  # do one clip's images differ
    FIT = "fit"  # how well the model learned its objective


@dataclass(frozen=True)
class Absent:
    """What `compute` returns instead of values that cannot be had."""

    reason: str
    """Why, in words; printed in place of the number."""


class Beside(StrEnum):
    """Which real pictures an arm's images are compared with as a set."""

    OWN = "own"  # those of the same clips, each image's own partner left out
    OTHERS = "others"  # those of other clips of the same classes


@dataclass(frozen=True, kw_only=True)
class Contribution:
    """What one clip adds to the value of a set."""

    clip: int
    """Place of the clip among the batch's."""
    draw: int
    """Draw of the image."""
    value: float
    """Its pseudo-value; the mean over clips and draws is the set's value."""


@dataclass(frozen=True, kw_only=True)
class SetScore:
    """The value of one arm's images as a set."""

    value: float
    """The number."""
    n: int
    """Images of one draw behind it."""
    num_real: int
    """Real pictures they were compared with."""
    error: float | None = None
    """Standard error over clips; None where it is not known."""
    curve: "tuple[CurvePoint, ...]" = ()
    """The value on fewer images."""
    contributions: tuple[Contribution, ...] = ()
    """What each clip adds, so that branches pair clip by clip; empty where it is not known."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What a reader must know to read a number."""

    level: ClassVar[Level] = Level.TRAINING
    """What one value belongs to."""
    name: str
    """Key in records and tables."""
    higher_is_better: bool
    """Direction."""
    role: Role
    """What it is for."""
    extractor: Extractor
    """Which scorers it needs."""
    unit: str
    """What one unit of it is."""
    definition: str
    """One line for a reader of the report."""
    reading: str
    """A sentence on how to read a value."""
    lowest: float = -math.inf
    """No value is below it."""
    highest: float = math.inf
    """No value is above it."""
    best: float | None = None
    """Value of an image that is its clip's real picture, under scorers that make no mistake; None
    where that depends on the data."""
    chance: float | None = None
    """Value of a model that does not listen; None where there is none or it depends on the data."""
    chance_on: "Callable[[Batch], float | None] | None" = None
    """The same where it depends on the data."""
    only_of: DataKind | None = None
    """The kind of data of which it says something; None for all."""
    shows_listening: bool = False
    """Whether its advantage over the controls is shown first, as evidence that a model listens."""
    min_clips: int = 1
    """Fewest test clips with which there is a value."""
    compares_within_class: bool = False
    """Whether a clip is compared with the others of its class alone, of which there must be one."""
    min_draws: int = 1
    """Fewest images per clip with which there is a value."""
    min_rankable_n: int | None = None
    """Fewest images at which it may rank; None where its expectation does not depend on n."""

    @property
    def label(self) -> str:
        """Its name in tables and figures."""
        return metric_label(self.name)

    def chance_level(self, batch: "Batch") -> float | None:
        """Value of a model that does not listen, on this batch."""
        return self.chance if self.chance_on is None else self.chance_on(batch)

    def unmet_need(self, batch: "Batch") -> Absent | None:
        """What the batch lacks of data, draws and scorers; None where it has what is needed."""
        if self.only_of is not None and batch.kind is not self.only_of:
            return Absent(_NOT_OF[self.only_of])
        if batch.num_draws < self.min_draws:
            more = f"--set sampling.images_per_clip={self.min_draws}"
            return Absent(f"one image a clip; ask for more with {more}")
        if self.extractor in MISSING and batch.scorers.extractor(self.extractor) is None:
            return Absent(MISSING[self.extractor])
        return None


@dataclass(frozen=True, kw_only=True)
class ClipMetric(Metric):
    """A metric of single images."""

    level: ClassVar[Level] = Level.CLIP
    compute: "Callable[[Batch], NDArray[np.float64] | Absent]" = field(repr=False)
    """[I] values in the order of the batch's rows (NaN: undefined for that image), or why there are
    none. Called only where draws and scorers are there."""
    parts: "Callable[[Batch], Mapping[str, NDArray[np.float64]]] | None" = field(
        default=None, repr=False
    )
    """[I] values of each part, scored as `name.part`; called where `compute` returned values."""
    part_chance_on: "Callable[[Batch], Mapping[str, float]] | None" = None
    """The value of a part for a model that does not listen, by part."""
    part_definition: str = ""
    """The definition of a part, with `{part}` for its name."""


@dataclass(frozen=True, kw_only=True)
class SetMetric(Metric):
    """A metric of all images of an arm together."""

    level: ClassVar[Level] = Level.SET
    is_zero_if_perfect: bool = False
    """Whether a perfect generator's value is 0 on average, and each clip's contribution too."""
    compute: "Callable[[Batch], Mapping[str, SetScore | Absent] | Absent]" = field(repr=False)
    """The score of each arm of the batch, or why there are none. Called only where the scorers are
    there."""
