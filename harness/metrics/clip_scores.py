"""Every per-clip metric of a batch of images, or the reason why it is absent.

Shape legend: I images, R reference clips, A attributes, D embedding width.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from harness.metrics import per_clip
from harness.metrics.arms import REAL
from harness.metrics.batch import Batch
from harness.metrics.diversity import feature_diversity, mean_distance_to_others
from harness.metrics.registry import METRICS, attribute_metric
from harness.metrics.scorers.scorers import AudioJudge
from harness.metrics.scorers.wav2clip import Wav2ClipScorer

Array = NDArray[np.float64]
WaveformOf = Callable[[str], NDArray[np.float32]]


def clip_scores(
    batch: Batch, *, captions: Mapping[str, str], waveform_of: WaveformOf | None
) -> tuple[dict[str, Array], dict[str, str]]:
    """([I] values by metric, reason by metric that is absent), rows as in the batch."""
    scores: dict[str, Array] = {}
    absent: dict[str, str] = {}
    _text_scores(batch, captions=captions, scores=scores, absent=absent)
    _hearing_scores(batch, waveform_of=waveform_of, scores=scores, absent=absent)
    _picture_scores(batch, scores=scores, absent=absent)
    _diversity_scores(batch, scores=scores, absent=absent)
    _attribute_scores(batch, scores=scores, absent=absent)
    in_order = {name: scores[name] for name in METRICS if name in scores}
    return {**in_order, **scores}, absent


def _text_scores(
    batch: Batch, *, captions: Mapping[str, str], scores: dict[str, Array], absent: dict[str, str]
) -> None:
    clip = batch.scorers.clip
    own_captions = [batch.clips[column].caption for column in batch.own]
    texts = list(dict.fromkeys([*own_captions, *captions.values()]))
    features = dict(zip(texts, clip.texts(texts), strict=True))
    scores["clip_score"] = per_clip.clip_score(
        batch.features_ID, caption_ID=np.stack([features[text] for text in own_captions])
    )
    if len(captions) < 2:
        absent["aic"] = "the split has one class; there is nothing to choose among"
        return
    names = list(captions)
    scores["aic"] = per_clip.aic(
        batch.features_ID,
        class_caption_KD=np.stack([features[captions[name]] for name in names]),
        class_index=[names.index(batch.clips[column].class_name) for column in batch.own],
    )


def _hearing_scores(
    batch: Batch,
    *,
    waveform_of: WaveformOf | None,
    scores: dict[str, Array],
    absent: dict[str, str],
) -> None:
    scorers = batch.scorers
    ear: AudioJudge | Wav2ClipScorer | None = scorers.wav2clip
    seen_ID = batch.features_ID
    if batch.reading is not None and scorers.audio_judge is not None:
        ear, seen_ID = scorers.audio_judge, batch.reading.embeddings
    if ear is None or waveform_of is None:
        reason = (
            "no sounds were given"
            if ear is not None
            else "no scorer hears: the CLAP that conditions may not judge; name Wav2CLIP's folder "
            "with --set scorers.wav2clip="
        )
        absent |= dict.fromkeys(("listening_rank", "ais_win", "ais_cos"), reason)
        return
    ids = [clip.sample_id for clip in batch.clips]
    embed, sound = ear.embed, waveform_of
    sounds_RD = batch.cache.arrays(
        "sounds judged",
        ids=ids,
        fingerprint=ear.fingerprint,
        compute=lambda: {"embeddings": embed(sound(sample_id) for sample_id in ids)},
    )["embeddings"]
    similarity_IR = per_clip.unit_rows(seen_ID) @ per_clip.unit_rows(sounds_RD).T
    class_names = np.array([clip.class_name for clip in batch.clips])
    same_class_IR = class_names[batch.own][:, None] == class_names[None, :]
    ranks = per_clip.win_rate(similarity_IR, own=batch.own, compared_IR=same_class_IR)
    if np.isnan(ranks).all():
        absent["listening_rank"] = "no class has 2 scored clips; there is nothing to rank against"
    else:
        scores["listening_rank"] = ranks
    if len(batch.clips) < 2:
        absent["ais_win"] = "one clip was scored; there is nothing to win against"
    else:
        scores["ais_win"] = per_clip.win_rate(similarity_IR, own=batch.own)
    scores["ais_cos"] = similarity_IR[np.arange(len(batch.own)), batch.own]


def _picture_scores(batch: Batch, *, scores: dict[str, Array], absent: dict[str, str]) -> None:
    real = batch.places(REAL, draw=0)
    if len(real) < 2:
        absent["iis_win"] = (
            f"{len(real)} scored clips have a picture; there is nothing to win against"
        )
        return
    unit_ID = per_clip.unit_rows(batch.features_ID)
    reference = {batch.own[row]: place for place, row in enumerate(real)}
    has_own = np.array([column in reference for column in batch.own])
    own = [reference.get(column, 0) for column in batch.own]
    wins = per_clip.win_rate(unit_ID @ unit_ID[real].T, own=own)
    scores["iis_win"] = np.where(has_own, wins, np.nan)


def _diversity_scores(batch: Batch, *, scores: dict[str, Array], absent: dict[str, str]) -> None:
    names = ("lpips_diversity", "judge_diversity")
    if max(len(batch.draws(arm)) for arm in {row.arm for row in batch.rows}) < 2:
        reason = "one image a clip; ask for more with --set sampling.images_per_clip=2"
        absent |= dict.fromkeys(names, reason)
        return
    groups = [(row.sample_id, row.arm) for row in batch.rows]
    if batch.reading is None:
        absent["judge_diversity"] = "this profile has no image judge"
    else:
        scores["judge_diversity"] = feature_diversity(batch.reading.features, groups=groups)
    lpips = batch.scorers.lpips
    if lpips is None:
        absent["lpips_diversity"] = "no LPIPS weights; name their folder with --set scorers.lpips="
        return
    members: dict[tuple[str, str], list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    apart = {
        (i, j): float(matrix[a, b])
        for indices in members.values()
        if len(indices) > 1
        for matrix in [lpips.pairwise([batch.rows[i].path for i in indices])]
        for a, i in enumerate(indices)
        for b, j in enumerate(indices)
    }
    scores["lpips_diversity"] = mean_distance_to_others(groups, distance=lambda i, j: apart[i, j])


def _attribute_scores(batch: Batch, *, scores: dict[str, Array], absent: dict[str, str]) -> None:
    judge = batch.scorers.image_judge
    if batch.reading is None or judge is None:
        absent["attribute_error"] = "this profile has no image judge"
        return
    known = [
        name
        for name in judge.attribute_names
        if all(name in (clip.attributes or {}) for clip in batch.clips)
    ]
    if not known:
        absent["attribute_error"] = "the split's clips carry no attribute that the judge reads"
        return
    true_RA = np.array([[(clip.attributes or {})[name] for name in known] for clip in batch.clips])
    errors_IA = per_clip.attribute_errors(
        batch.reading.attributes[:, [judge.attribute_names.index(name) for name in known]],
        true_IA=true_RA[batch.own],
    )
    scores["attribute_error"] = errors_IA.mean(axis=1)
    for index, name in enumerate(known):
        scores[attribute_metric(name)] = errors_IA[:, index]
