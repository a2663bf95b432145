"""Scores of a run: every metric, in every arm, from the PNG files.

Shape legend: N images, D embedding width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.randomness import rng
from harness.metrics import distribution
from harness.metrics.arms import REAL, Arm, GeneratedImage, ScoredClip, common_captions
from harness.metrics.batch import Batch, Row
from harness.metrics.clip_scores import WaveformOf, clip_scores
from harness.metrics.controls import ListeningMargin, clip_means, listening_margins
from harness.metrics.registry import metric
from harness.metrics.scorers import Scorers

Array = NDArray[np.float64]

_DISTANCES = {"kid": distribution.kid, "frechet_clip": distribution.frechet}
_COLUMNS = ["sample_id", "class_name", "arm", "draw", "metric", "value"]


@dataclass(frozen=True)
class MetricValue:
    """One number of one arm, with what is needed to compare it."""

    metric: str
    """Name in the registry."""
    arm: str
    """Arm it was measured in; `real` for the reference."""
    value: float | None
    """The number; None when it could not be had."""
    n: int
    """Clips (per-clip metrics) or generated images of one draw (distances) behind it."""
    higher_is_better: bool
    """Direction."""
    extractor: str | None
    """Names of the scorers."""
    extractor_hash: str | None
    """Hashes of the scorers' files."""
    chance: float | None = None
    """Value of a model that does not listen, where there is one."""
    reason: str | None = None
    """Why there is no value."""


@dataclass(frozen=True)
class RunScores:
    """All scores of a run."""

    per_clip: pd.DataFrame
    """Columns sample_id, class_name, arm, draw, metric, value; one row an image and metric. The
    rows of arm `real` score the clip's real picture. NaN: the metric is undefined for the clip."""
    arms: dict[str, dict[str, MetricValue]]
    """Arm, then metric; arm `real` holds what real pictures would get, the distances' floor
    included."""
    controls: list[ListeningMargin]
    """Advantage of the own sound over each control, for every per-clip metric."""

    @property
    def summary(self) -> dict[str, MetricValue]:
        """The run's numbers: those of the own sound, or of the only arm there is."""
        return self.arms[_headline_arm(self.arms)]

    def record(self) -> dict[str, Any]:
        """Everything but the per-clip table, ready for JSON."""
        return {
            "summary": {name: asdict(value) for name, value in self.summary.items()},
            "arms": {
                arm: {name: asdict(value) for name, value in values.items()}
                for arm, values in self.arms.items()
            },
            "controls": [asdict(margin) for margin in self.controls],
        }


def score_images(
    images: Sequence[GeneratedImage],
    *,
    clips: Sequence[ScoredClip],
    scorers: Scorers,
    waveform_of: WaveformOf | None = None,
    class_captions: Mapping[str, str] | None = None,
    floor_images: Sequence[Path] = (),
) -> RunScores:
    """Score a run's images against the test clips.

    Whatever an image heard, it is compared with its own clip: sound, caption and attributes.
    The reference sounds are those of `clips`, the whole test split, so that a rank means the
    same in every run on the split.

    waveform_of: the sound of a clip by id, mono at the audio judge's rate; None leaves the
        metrics that hear blank.
    class_captions: what `aic` chooses among; by default each class's most frequent caption.
    floor_images: other real images (the validation part) for the real-vs-real floor; without
        them the real test images are halved, and the floor has half the n.

    Raises:
        ValueError: no images, a doubled image, or an image of a clip that is not in `clips`.
        DataError: an image file that cannot be read.
    """
    by_id = {clip.sample_id: clip for clip in clips}
    _require_sound_input(images, by_id=by_id, num_clips=len(clips))
    rows = [Row(image.sample_id, str(image.arm), image.draw, image.path) for image in images]
    rows += [Row(clip.sample_id, REAL, 0, clip.image) for clip in clips if clip.image is not None]
    batch = Batch(rows, by_id=by_id, scorers=scorers)
    captions = dict(class_captions or common_captions(clips))
    scores, absent = clip_scores(batch, captions=captions, waveform_of=waveform_of)

    table = _table(batch, scores)
    means = clip_means(table)
    floor = scorers.clip.images(floor_images) if floor_images else None
    arms: dict[str, dict[str, MetricValue]] = {}
    for arm in dict.fromkeys(row.arm for row in rows):
        values = {}
        of_arm = means[means["arm"] == arm]
        for name in (*scores, *absent):
            values[name] = _clip_value(
                name,
                of_arm.loc[of_arm["metric"] == name, "value"].to_numpy(dtype=np.float64),
                arm=arm,
                reason=absent.get(name),
                chance=1 / len(captions) if name == "aic" else metric(name).chance,
                scorers=scorers,
            )
        for name in _DISTANCES:
            values[name] = _distance_value(name, batch, arm=arm, floor=floor, scorers=scorers)
        arms[arm] = values
    margins = listening_margins(table[table["arm"] != REAL])
    return RunScores(per_clip=table, arms=arms, controls=margins)


def _headline_arm(arms: Mapping[str, object]) -> str:
    return next(arm for arm in (*(str(arm) for arm in Arm), REAL) if arm in arms)


def _require_sound_input(
    images: Sequence[GeneratedImage], *, by_id: Mapping[str, ScoredClip], num_clips: int
) -> None:
    if not images:
        raise ValueError("got no images; expected at least one")
    if len(by_id) != num_clips:
        raise ValueError("two test clips have the same id; expected unique ids")
    seen = set()
    for image in images:
        key = (image.sample_id, image.arm, image.draw)
        if key in seen:
            raise ValueError(f"two images for clip, arm, draw {key}; expected one")
        if image.sample_id not in by_id:
            raise ValueError(f"an image of clip '{image.sample_id}', which is no test clip")
        seen.add(key)


def _table(batch: Batch, scores: Mapping[str, Array]) -> pd.DataFrame:
    common = pd.DataFrame(
        {
            "sample_id": [row.sample_id for row in batch.rows],
            "class_name": [batch.clips[column].class_name for column in batch.own],
            "arm": [row.arm for row in batch.rows],
            "draw": [row.draw for row in batch.rows],
        }
    )
    parts = [common.assign(metric=name, value=values) for name, values in scores.items()]
    return pd.concat(parts, ignore_index=True)[_COLUMNS]


def _clip_value(
    name: str,
    values: Array,
    *,
    arm: str,
    reason: str | None,
    chance: float | None,
    scorers: Scorers,
) -> MetricValue:
    defined = values[~np.isnan(values)]
    if reason is None and not len(defined):
        reason = "undefined for every clip of this arm"
    return _value(
        name,
        float(defined.mean()) if len(defined) else None,
        n=len(defined),
        arm=arm,
        reason=reason,
        chance=chance,
        scorers=scorers,
    )


def _distance_value(
    name: str, batch: Batch, *, arm: str, floor: Array | None, scorers: Scorers
) -> MetricValue:
    """Mean over draws of the distance to the real test images.

    Images of one clip over draws are not independent samples: taken together they would bias
    the U-statistic, so each draw is measured alone.
    """
    real = batch.features(REAL, draw=0)
    if arm == REAL:
        one, other = (floor, real) if floor is not None else _halves(real)
        pairs = [(one, other)]
    else:
        pairs = [(batch.features(arm, draw=draw), real) for draw in batch.draws(arm)]
    smallest = min(min(len(one), len(other)) for one, other in pairs)
    if smallest < 2:
        return _value(
            name, None, n=0, arm=arm, scorers=scorers,
            reason=f"a set of {smallest} images; a distance needs 2 on each side",
        )  # fmt: skip
    distances = [_DISTANCES[name](one, real_MD=other) for one, other in pairs]
    return _value(
        name,
        float(np.mean(distances)),
        n=min(len(one) for one, _ in pairs),
        arm=arm,
        scorers=scorers,
    )


def _halves(features_ND: Array) -> tuple[Array, Array]:
    order = rng(0, "real-vs-real halves", len(features_ND)).permutation(len(features_ND))
    middle = len(order) // 2
    return features_ND[order[:middle]], features_ND[order[middle:]]


def _value(
    name: str,
    value: float | None,
    *,
    n: int,
    arm: str,
    scorers: Scorers,
    reason: str | None = None,
    chance: float | None = None,
) -> MetricValue:
    declared = metric(name)
    extractor, extractor_hash = scorers.extractor(declared.extractor) or (None, None)
    return MetricValue(
        metric=name,
        arm=arm,
        value=value,
        n=n,
        higher_is_better=declared.higher_is_better,
        extractor=extractor,
        extractor_hash=extractor_hash,
        chance=chance,
        reason=reason,
    )
