"""Every metric's answer to a batch of images, checked.

Shape legend: I images.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import GuardError
from harness.metrics.batch import Batch
from harness.metrics.metric import Absent, ClipMetric, SetMetric, SetScore
from harness.metrics.registry import METRICS, part_of
from harness.metrics.repeatable import why_void
from harness.records.parts import CurvePoint

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ClipScores:
    """A per-clip metric, or a part of one, on every image."""

    declared: ClipMetric
    """What it is."""
    values: Array | Absent
    """[I] values (NaN: undefined for that image), or why there are none."""
    chance: float | None
    """Value of a model that does not listen."""


@dataclass(frozen=True)
class SetScores:
    """A metric of sets on every arm."""

    declared: SetMetric
    """What it is."""
    by_arm: Mapping[str, SetScore | Absent]
    """The score of each arm, or why there is none."""


@dataclass(frozen=True)
class Computed:
    """All answers."""

    of_clips: list[ClipScores]
    """In the order of the declarations, the parts of metrics after the whole ones."""
    of_sets: list[SetScores]
    """In the order of the declarations."""

    @property
    def curves(self) -> list[CurvePoint]:
        """Values of sets against the number of images."""
        return [
            point
            for scores in self.of_sets
            for score in scores.by_arm.values()
            if isinstance(score, SetScore)
            for point in score.curve
        ]


def compute_all(
    batch: Batch,
    metrics: Mapping[str, ClipMetric | SetMetric],
    *,
    is_judged: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Computed:
    """Compute each metric on the batch.

    is_judged: whether to refuse values that are not of the images (`repeatable`).
    progress: told how many of all metrics are done, before the first and after each.

    A metric of another package that fails or is refused has a reason in place of values: it must
    not cost the run that was trained for it.

    Raises: GuardError where a metric of this package is refused.
    """
    wholes: list[ClipScores] = []
    parts: list[ClipScores] = []
    sets: list[SetScores] = []
    for number, declared in enumerate(metrics.values()):
        progress(number, len(metrics))
        if isinstance(declared, SetMetric):
            by_arm = _of_sets(declared, batch)
            if is_judged and any(isinstance(score, SetScore) for score in by_arm.values()):
                refused = _void(declared, batch)
                by_arm = by_arm if refused is None else dict.fromkeys(batch.arms, refused)
            sets.append(SetScores(declared, by_arm))
            continue
        found = _of_clips(declared, batch)
        if is_judged and not isinstance(found, Absent):
            found = _void(declared, batch) or found
        chance = None if isinstance(found, Absent) else declared.chance_level(batch)
        wholes.append(ClipScores(declared, found, chance))
        if declared.parts is not None and not isinstance(found, Absent):
            parts += _parts(declared, batch)
    progress(len(metrics), len(metrics))
    return Computed([*wholes, *parts], sets)


def _of_clips(declared: ClipMetric, batch: Batch) -> Array | Absent:
    unmet = declared.unmet_need(batch)
    if unmet is not None:
        return unmet
    try:
        answer = declared.compute(batch)
        if isinstance(answer, Absent):
            return answer
        return _checked(answer, batch)
    except Exception as error:
        return _failed(declared, error)


def _parts(declared: ClipMetric, batch: Batch) -> list[ClipScores]:
    if declared.parts is None:
        return []
    try:
        answers = dict(declared.parts(batch))
        chances = declared.part_chance_on(batch) if declared.part_chance_on is not None else {}
    except Exception as error:
        _failed(declared, error)  # one of this package
        return []
    found = []
    for part, answer in answers.items():
        try:
            values: Array | Absent = _checked(answer, batch)
        except Exception as error:
            values = _failed(declared, error)
        found.append(ClipScores(part_of(declared, part), values, chances.get(part)))
    return found


def _of_sets(declared: SetMetric, batch: Batch) -> Mapping[str, SetScore | Absent]:
    answer: Mapping[str, SetScore | Absent] | Absent | None = declared.unmet_need(batch)
    if answer is None:
        try:
            answer = declared.compute(batch)
        except Exception as error:
            answer = _failed(declared, error)
    if isinstance(answer, Absent):
        return dict.fromkeys(batch.arms, answer)
    return {arm: _finite(answer.get(arm, Absent("not computed"))) for arm in batch.arms}


def _void(declared: ClipMetric | SetMetric, batch: Batch) -> Absent | None:
    """Why a metric of another package is refused.

    Raises: GuardError of a metric of this package.
    """
    reason = why_void(declared, batch)
    if reason is None:
        return None
    if METRICS.get(declared.name) is declared:
        raise GuardError(f"metric {declared.name}: {reason}")
    return Absent(f"refused: {reason}")


def _checked(answer: object, batch: Batch) -> Array:
    values = np.asarray(answer, dtype=np.float64)
    if values.shape != (len(batch.rows),):
        raise ValueError(
            f"compute returned shape {values.shape}; expected one value for each of the "
            f"{len(batch.rows)} images"
        )
    if np.isinf(values).any():
        raise ValueError("compute returned an infinite value; NaN marks what is undefined")
    return values


def _finite(score: SetScore | Absent) -> SetScore | Absent:
    if isinstance(score, SetScore) and not np.isfinite(score.value):
        return Absent(f"compute returned {score.value}")
    return score


def _failed(declared: ClipMetric | SetMetric, error: Exception) -> Absent:
    """Why a metric of another package has no values.

    Raises: the error itself of a metric of this package, where it is a defect or a broken file.
    """
    if METRICS.get(declared.name) is declared:
        raise error
    return Absent(f"its package failed: {type(error).__name__}: {error}")
