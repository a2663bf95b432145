"""Scores of a run: every metric, in every arm, from the PNG files.

Shape legend: I images.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.data.items import DataKind
from harness.metrics.arms import REAL, GeneratedImage, ScoredClip, headline_of
from harness.metrics.batch import Batch, FloorPicture, Row, WaveformOf, picture_features
from harness.metrics.computing import Computed, SetScores, compute_all
from harness.metrics.controls import clip_means, listening_margins
from harness.metrics.extractor import Extractor
from harness.metrics.feature_cache import FeatureCache
from harness.metrics.metric import Absent, SetScore
from harness.metrics.nearest import NearestTraining, nearest_rows
from harness.metrics.per_class import class_values
from harness.metrics.registry import computed_metrics, foreign_metrics
from harness.metrics.scorers.scorers import Scorers
from harness.metrics.values import ValueMaker
from harness.records.folders import CONTRIBUTIONS, NEAREST, PER_CLIP
from harness.records.parts import (
    CurvePoint,
    Evaluation,
    ForeignMetric,
    ListeningMargin,
    MetricValue,
    ScorerFacts,
)

Array = NDArray[np.float64]

_COLUMNS = ["sample_id", "class_name", "arm", "draw", "metric", "value"]


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
    """Advantage of the matching sound over each control, for every per-clip metric."""
    curves: list[CurvePoint]
    """Distances against the number of images, of the headline arm and of real against real."""
    nearest: NearestTraining | None
    """Nearest training picture of each image; None where no training pictures were given."""
    extractors: dict[str, ScorerFacts]
    """Name and fingerprint of each scorer, by role."""
    foreign_metrics: dict[str, ForeignMetric]
    """The metrics of other packages that were computed, by name."""
    contributions: pd.DataFrame
    """What each clip adds to each kernel distance, with the columns of `per_clip`."""
    labels: Mapping[str, tuple[str, ...]]
    """Labels of each clip, of data with several; by these the tables by class are."""

    @property
    def summary(self) -> dict[str, MetricValue]:
        """The run's numbers: those of the own sound, or of the only arm there is."""
        return self.arms[headline_of(self.arms)]

    @property
    def evaluation(self) -> Evaluation:
        """What a record holds besides the scores of the arms."""
        return Evaluation(
            extractors=self.extractors,
            foreign_metrics=self.foreign_metrics,
            per_class=class_values(clip_means(self.per_clip), labels=self.labels),
            distance_curves=self.curves,
            nearest_training=self.nearest.summary() if self.nearest is not None else None,
        )

    def files(self) -> dict[str, bytes]:
        """What a run's folder keeps beside its record, by file name."""
        files = {
            PER_CLIP: self.per_clip.to_csv(index=False).encode(),
            CONTRIBUTIONS: self.contributions.to_csv(index=False).encode(),
        }
        if self.nearest is not None:
            files[NEAREST] = self.nearest.table.to_csv(index=False).encode()
        return files


def score_images(
    images: Sequence[GeneratedImage],
    *,
    clips: Sequence[ScoredClip],
    scorers: Scorers,
    waveform_of: WaveformOf | None = None,
    class_captions: Mapping[str, str] | None = None,
    floor_images: Mapping[str, FloorPicture] | None = None,
    training_images: Mapping[str, Path] | None = None,
    split_hash: str | None = None,
    kind: DataKind = DataKind.CLASSES,
    cache: FeatureCache | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> RunScores:
    """Score a run's images against the test clips.

    Whatever an image was given, it is compared with its own clip: sound, caption and attributes.
    The reference sounds are those of `clips`, the whole test split, so that a rank means the
    same in every run on the split.

    waveform_of: the sound of a clip by id, mono at the audio judge's rate; None leaves the
        metrics that hear blank.
    kind: what is known of a clip; with labels the tables and `aic` are by label, with captions
        alone by group of captions, and `aic` stays blank.
    class_captions: what `aic` chooses among; by default each class's most frequent caption.
    floor_images: other real images by id (the validation part), for the real-vs-real floor and
        the Frechet distances; without them the test clips are halved, and both have half the n.
    training_images: the training pictures by id, among which each image's nearest is sought.
    split_hash: goes into every value. cache: features of real media; None computes them.
    progress: told how many of all metrics are done.

    Raises:
        ValueError: no images, a doubled image, or an image of a clip that is not in `clips`.
        DataError: an image file that cannot be read.
    """
    by_id = {clip.sample_id: clip for clip in clips}
    _require_sound_input(images, by_id=by_id, num_clips=len(clips))
    rows = [Row(image.sample_id, str(image.arm), image.draw, image.path) for image in images]
    rows += [Row(clip.sample_id, REAL, 0, clip.image) for clip in clips if clip.image is not None]
    cache = cache if cache is not None else FeatureCache(context={})
    batch = Batch(
        rows,
        by_id=by_id,
        scorers=scorers,
        cache=cache,
        captions=class_captions,
        floor=floor_images,
        waveform_of=waveform_of,
        kind=kind,
    )
    scores = compute_all(batch, computed_metrics(), is_judged=True, progress=progress)
    table = _table(batch, scores)
    means = clip_means(table)
    values = ValueMaker(scorers, split_hash)
    return RunScores(
        per_clip=table,
        arms={arm: _of_arm(arm, scores, means=means, values=values) for arm in batch.arms},
        controls=listening_margins(table[table["arm"] != REAL]),
        curves=scores.curves,
        nearest=_nearest(batch, training_images) if training_images else None,
        extractors={
            role: ScorerFacts(name=scorer.name, fingerprint=scorer.fingerprint)
            for role, scorer in scorers.present.items()
        },
        foreign_metrics=foreign_metrics(),
        contributions=_contributions(batch, scores),
        labels={clip.sample_id: clip.labels for clip in clips if clip.labels},
    )


def _of_arm(
    arm: str, scores: Computed, *, means: pd.DataFrame, values: ValueMaker
) -> dict[str, MetricValue]:
    """The arm's value of each metric: of clips, of parts, of sets."""
    of_arm = means[means["arm"] == arm]
    found = {}
    for of_clips in scores.of_clips:
        declared = of_clips.declared
        if isinstance(of_clips.values, Absent):
            found[declared.name] = values.blank(declared, arm=arm, reason=of_clips.values.reason)
            continue
        rows = of_arm.loc[of_arm["metric"] == declared.name, "value"]
        found[declared.name] = values.of_clips(
            declared, rows.to_numpy(dtype=np.float64), arm=arm, chance=of_clips.chance
        )
    return found | {
        of_sets.declared.name: _of_set(of_sets, arm=arm, values=values)
        for of_sets in scores.of_sets
    }


def _of_set(scores: SetScores, *, arm: str, values: ValueMaker) -> MetricValue:
    score = scores.by_arm[arm]
    if isinstance(score, Absent):
        return values.blank(scores.declared, arm=arm, reason=score.reason)
    return values.of_set(scores.declared, score, arm=arm)


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
            raise ValueError(f"an image of clip '{image.sample_id}', which is not a test clip")
        seen.add(key)


def _rows(batch: Batch) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "sample_id": [row.sample_id for row in batch.rows],
            "class_name": [batch.clips[column].class_name for column in batch.own],
            "arm": [row.arm for row in batch.rows],
            "draw": [row.draw for row in batch.rows],
        }
    )


def _table(batch: Batch, scores: Computed) -> pd.DataFrame:
    common = _rows(batch)
    parts = [
        common.assign(metric=of_clips.declared.name, value=of_clips.values)
        for of_clips in scores.of_clips
        if not isinstance(of_clips.values, Absent)
    ]
    return pd.concat(parts, ignore_index=True)[_COLUMNS]


def _contributions(batch: Batch, scores: Computed) -> pd.DataFrame:
    rows = [
        (
            batch.clips[part.clip].sample_id,
            batch.clips[part.clip].class_name,
            arm,
            part.draw,
            of_sets.declared.name,
            part.value,
        )
        for of_sets in scores.of_sets
        for arm, score in of_sets.by_arm.items()
        if isinstance(score, SetScore)
        for part in score.contributions
    ]
    return pd.DataFrame(rows, columns=_COLUMNS)


def _nearest(batch: Batch, training: Mapping[str, Path]) -> NearestTraining:
    clip = batch.scorers.clip
    features_TD = picture_features(
        training, scorers=batch.scorers, extractor=Extractor.CLIP, cache=batch.cache
    )
    ids, similarity = nearest_rows(
        batch.features_ID, training_TD=features_TD, training_ids=list(training)
    )
    table = _rows(batch).assign(nearest_id=ids, similarity=similarity)
    return NearestTraining(
        table=table,
        num_training=len(training),
        extractor=clip.name,
        extractor_hash=clip.fingerprint,
    )
