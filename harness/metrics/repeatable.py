"""A check that a metric's values are of the images: they repeat, and another image changes them.

Shape legend: I images.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.metrics.arms import REAL
from harness.metrics.batch import Batch
from harness.metrics.metric import Absent, ClipMetric, SetMetric, SetScore

Array = NDArray[np.float64]

_NUM_CLIPS = 16
"""Clips looked at: enough for every metric of this package, and little next to a run's."""
_ROUNDING = 1e-6
_MOST_ROUNDED = 0.25
"""Share of values that another order of the rows may turn at a tie; of random ones half differ."""


def why_void(declared: ClipMetric | SetMetric, batch: Batch) -> str | None:
    """Why the metric's values say nothing of the images; None where nothing speaks against it.

    On some clips of the headline arm and their real pictures it is computed again: on the same
    images, with the rows in another order, and with other images in the same places. Whoever
    embeds images is not asked again. What cannot be computed on so few is not judged.
    """
    arm = batch.headline_arm
    if arm == REAL:
        return None
    shown = [i for i, row in enumerate(batch.rows) if row.arm == arm and _is_early(batch, i)]
    real = [i for i, row in enumerate(batch.rows) if row.arm == REAL and _is_early(batch, i)]
    places = [*shown, *real]
    first = _values(declared, batch.showing(places, images=places), num=len(shown))
    if first is None:
        return None
    again = _values(declared, batch.showing(places, images=places), num=len(shown))
    if again is None or not np.array_equal(first, again, equal_nan=True):
        return (
            "computed twice on the same images its values differ: it draws at random; draw from "
            "core.randomness, by name"
        )
    turned = places[::-1]
    other = _values(declared, batch.showing(turned, images=turned), num=len(shown), is_turned=True)
    if other is not None and _share_changed(first, other) > _MOST_ROUNDED:
        return (
            "with the rows in another order its values differ: they belong to places and not to "
            "images; find an image's clip by batch.own"
        )
    if _ignores_images(declared, batch, first, shown=shown, real=real):
        return "whatever image is put in a clip's place, its value stays: it looks at no image"
    return None


def _is_early(batch: Batch, row: int) -> bool:
    return batch.own[row] < _NUM_CLIPS


def _values(
    declared: ClipMetric | SetMetric, batch: Batch, *, num: int, is_turned: bool = False
) -> Array | None:
    """Of the first `num` rows, or of the arm as a set; None where it has none there."""
    if declared.unmet_need(batch) is not None:
        return None
    try:
        answer = declared.compute(batch)
    except ValueError:  # too few clips, says a metric; on all of them it had an answer
        return None
    if isinstance(answer, Absent):
        return None
    if isinstance(declared, SetMetric):
        score = dict(answer).get(batch.headline_arm)
        return np.array([score.value]) if isinstance(score, SetScore) else None
    values = np.asarray(answer, dtype=np.float64)
    return (values[::-1] if is_turned else values)[:num]


def _share_changed(first: Array, other: Array) -> float:
    is_same = np.isclose(first, other, rtol=_ROUNDING, atol=_ROUNDING, equal_nan=True)
    return float(1 - is_same.mean())


def _ignores_images(
    declared: ClipMetric | SetMetric,
    batch: Batch,
    first: Array,
    *,
    shown: Sequence[int],
    real: Sequence[int],
) -> bool:
    """Whether values that differ between clips stay under every exchange of the images.

    Each exchange alone may change nothing: where images all show one class, say, or where a scorer
    that tells little ranks the sounds alike for every image.
    """
    finite = first[np.isfinite(first)]
    if len(finite) < 2 or float(np.ptp(finite)) <= _ROUNDING or len(real) < 2:
        return False
    by_clip = {batch.own[row]: row for row in real}
    exchanges = (
        (1.0, [*shown[1:], shown[0]]),
        (1.0, [shown[0]] * len(shown)),
        (1.0, [by_clip.get(batch.own[row], row) for row in shown]),
        (-1.0, shown),
    )
    for sign, images in exchanges:
        view = batch.showing([*shown, *real], images=[*images, *real], sign=sign)
        other = _values(declared, view, num=len(shown))
        if other is None or not np.array_equal(first, other, equal_nan=True):
            return False
    return True
