"""Scoring whole runs with the shipped scorers: painters that listen, painters that do not."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.data.items import DataKind
from core.errors import UsageError
from harness.metrics.arms import REAL, Arm, ScoredClip, common_captions
from harness.metrics.feature_cache import FeatureCache
from harness.metrics.metric import Level
from harness.metrics.registry import METRICS, metric
from harness.metrics.score import RunScores, score_images
from harness.metrics.scorers.scorers import Scorers

# What the shipped scorers cannot give: the weights are too large to ship.
from tests.harness.metrics.made_world import CLASSES, PER_CLASS

WITHOUT_WEIGHTS = {"fid", "fd_dinov2", "lpips_diversity", "pair_win", "kid_picture"}
OF_LABELS = {"unnamed_source_recall", "source_recall", "source_precision"}
DIVERSITY = {"lpips_diversity", "judge_diversity"}


def as_json(scores: RunScores) -> dict[str, Any]:
    """What a record holds of the scores, as values that JSON may have: NaN stays NaN."""
    return {
        "summary": {name: value.model_dump() for name, value in scores.summary.items()},
        "arms": {
            arm: {name: value.model_dump() for name, value in of_arm.items()}
            for arm, of_arm in scores.arms.items()
        },
        "controls": [margin.model_dump() for margin in scores.controls],
        "evaluation": scores.evaluation.model_dump(),
    }


def _margin(scores: RunScores, name: str, control: Arm):
    (margin,) = [m for m in scores.controls if (m.metric, m.control) == (name, control)]
    return margin


def test_a_painter_that_listens_beats_its_shuffled_control(listening):
    """Catches: scoring the shuffled arm against the sound it heard, or a wrong sign."""
    for name in ("listening_rank", "attribute_error"):
        margin = _margin(listening, name, Arm.SHUFFLED)
        assert margin.n == len(CLASSES) * PER_CLASS
        assert margin.z >= 3, name
    assert listening.arms["shuffled"]["listening_rank"].value <= 0.5
    assert listening.summary["listening_rank"].value > 0.6


def test_a_painter_that_ignores_the_sound_has_no_margin(world, scorers):
    """Catches: an advantage that comes from the class, which the caption gives away."""
    images = [
        *world.painted(Arm.AUDIO, shift=3),
        *world.painted(Arm.SHUFFLED, shift=3),
        *world.painted(Arm.TEXT_ONLY, shift=3),
    ]
    scores = world.score(images, scorers)
    for margin in scores.controls:
        assert (margin.mean, margin.z) == (0.0, None), margin.metric


def test_images_equal_to_the_real_ones_score_like_them(listening):
    """Catches: generated and real images treated differently, or shifted rows."""
    for name, declared in METRICS.items():
        if declared.level is Level.CLIP and name not in DIVERSITY:
            assert listening.summary[name].value == pytest.approx(
                listening.arms[REAL][name].value, abs=1e-6
            )
    # A distance to pictures of other clips: just what the real pictures get.
    floor = listening.arms[REAL]["frechet_clip"].value
    assert listening.summary["frechet_clip"].value == pytest.approx(floor, rel=1e-6)


def test_each_row_compares_its_image_with_its_own_clip(world, scorers, listening):
    """Catches: rows, clips and sounds falling out of step, or the heard clip as the reference."""
    (image,) = [
        image
        for image in world.painted(Arm.SHUFFLED, shift=3)
        if image.sample_id == world.clips[13].sample_id
    ]
    own = world.clips[13]
    table = listening.per_clip
    rows = table[(table["sample_id"] == own.sample_id) & (table["arm"] == "shuffled")]
    got = rows.set_index("metric")["value"]
    reading = scorers.image_judge.read([image.path])
    names = scorers.image_judge.attribute_names
    for index, name in enumerate(names):
        error = abs(reading.attributes[0, index] - own.attributes[name])
        assert got[f"attribute_error.{name}"] == pytest.approx(error, abs=1e-5)
    assert got["attribute_error"] == pytest.approx(
        np.mean([got[f"attribute_error.{name}"] for name in names])
    )
    (sound,) = scorers.audio_judge.embed([world.waveforms[own.sample_id]])
    assert got["ais_cos"] == pytest.approx(float(reading.embeddings[0] @ sound), abs=1e-5)


def test_every_value_states_what_it_rests_on(listening, scorers):
    """Catches: a number whose scorer, direction or n nobody can tell later."""
    assert set(listening.summary) >= set(METRICS)
    for name, value in listening.summary.items():
        if name in WITHOUT_WEIGHTS:
            assert value.value is value.extractor is None
            assert "--set scorers." in value.reason
            continue
        if name in OF_LABELS:
            assert value.value is None
            assert "several labels" in value.reason
            continue
        assert value.value is not None
        assert value.arm == "audio"
        # A Frechet distance is taken to real pictures of other clips: here to the other half.
        halves = 2 if name == "frechet_clip" else 1
        assert value.n == len(CLASSES) * PER_CLASS // halves
        assert value.higher_is_better == metric(name).higher_is_better
        for part in value.extractor_hash.split("+"):
            assert part in scorers.fingerprint.values()
    assert listening.summary["aic"].chance == 1 / len(CLASSES)


def test_the_table_has_one_row_an_image_and_metric(listening):
    """Catches: lost draws, or two rows that a pivot would average unseen."""
    table = listening.per_clip
    keys = ["sample_id", "arm", "draw", "metric"]
    assert list(table) == ["sample_id", "class_name", "arm", "draw", "metric", "value"]
    assert not table.duplicated(keys).any()
    images_and_reals = 4 * len(CLASSES) * PER_CLASS
    assert (table.groupby("metric").size() == images_and_reals).all()
    one = table[(table["metric"] == "aic") & (table["arm"] == "audio")]
    assert set(one["draw"]) == {0, 1}


def test_the_record_is_plain_json_without_nan(listening):
    """Catches: a record that other tools cannot read."""
    json.dumps(as_json(listening), allow_nan=False)
    assert as_json(listening)["summary"]["kid"]["n"] == len(CLASSES) * PER_CLASS


def test_scores_are_the_same_on_a_second_run(world, scorers, listening):
    """Catches: randomness in scoring, the floor's halves included."""
    images = [
        *world.painted(Arm.AUDIO, shift=0),
        *world.painted(Arm.AUDIO, shift=0, draw=1),
        *world.painted(Arm.SHUFFLED, shift=3),
    ]
    again = world.score(images, scorers)
    pd.testing.assert_frame_equal(again.per_clip, listening.per_clip, check_exact=True)
    assert as_json(again) == as_json(listening)


def test_without_judges_the_hearing_scores_stay_blank_with_a_reason(world, scorers):
    """Catches: a number invented where no scorer can give one."""
    alone = Scorers(clip=scorers.clip)
    scores = world.score(world.painted(Arm.AUDIO, shift=0), alone)
    for name in ("listening_rank", "ais_win", "ais_cos", "attribute_error"):
        value = scores.summary[name]
        assert value.value is value.extractor is value.extractor_hash is None
        assert value.n == 0
        assert "judge" in value.reason
        assert name not in set(scores.per_clip["metric"])
    assert scores.summary["clip_score"].value is not None


def test_without_sounds_attributes_or_pictures_only_their_metrics_are_blank(world, scorers):
    """Catches: one missing input that takes every metric with it."""
    bare = [replace(clip, attributes=None, image=None) for clip in world.clips]
    images = world.painted(Arm.AUDIO, shift=0)
    scores = score_images(images, clips=bare, scorers=scorers)
    blank = {name for name, value in scores.summary.items() if value.value is None}
    hearing = {"listening_rank", "ais_win", "ais_cos"}
    pictures = {"iis_win", "kid", "cmmd", "frechet_clip"}
    assert (
        blank == hearing | pictures | {"attribute_error"} | WITHOUT_WEIGHTS | OF_LABELS | DIVERSITY
    )
    assert all(scores.summary[name].reason for name in blank)
    assert REAL not in scores.arms


def test_a_class_with_one_clip_has_no_listening_rank(world, scorers):
    """Catches: a clip without rivals counted as a win, a loss or a half."""
    keep = world.clips[: PER_CLASS + 1]
    images = [image for image in world.painted(Arm.AUDIO, shift=0) if image.sample_id in
              {clip.sample_id for clip in keep}]  # fmt: skip
    scores = world.score(images, scorers, clips=keep)
    assert scores.summary["listening_rank"].n == PER_CLASS
    table = scores.per_clip[scores.per_clip["metric"] == "listening_rank"]
    alone = table[table["sample_id"] == keep[-1].sample_id]
    assert alone["value"].isna().all()
    assert not table.drop(alone.index)["value"].isna().any()
    json.dumps(as_json(scores), allow_nan=False)


def test_a_single_clip_leaves_everything_relative_blank(world, scorers):
    """Catches: a division by zero, or a distance from one image."""
    scores = world.score(world.painted(Arm.AUDIO, shift=0)[:1], scorers, clips=world.clips[:1])
    blank = {name for name, value in scores.summary.items() if value.value is None}
    relative = {"listening_rank", "ais_win", "iis_win", "aic", "kid", "cmmd", "frechet_clip"}
    assert blank == relative | WITHOUT_WEIGHTS | OF_LABELS | DIVERSITY
    assert scores.controls == []


def test_captions_alone_leave_the_zero_shot_class_blank_with_its_reason(world, scorers):
    """Catches: groups of captions taken for classes that CLIP could find."""
    images = world.painted(Arm.AUDIO, shift=0)
    scores = world.score(images, scorers, kind=DataKind.CAPTIONS)
    assert scores.summary["aic"].value is None
    assert (
        scores.summary["aic"].reason == "the data have captions alone; there is no class to choose"
    )
    by_class = world.score(images, scorers)
    assert scores.summary["listening_rank"] == by_class.summary["listening_rank"]


def test_several_labels_are_scored_and_tabled_by_label(world, scorers):
    """Catches: a clip that counts at one of its labels alone, or chance of one label a clip."""

    def labels(clip):
        return tuple(sorted({clip.class_name, "everywhere"}))

    clips = [replace(clip, labels=labels(clip)) for clip in world.clips]
    images = world.painted(Arm.AUDIO, shift=0)
    scores = world.score(images, scorers, clips=clips, kind=DataKind.LABELS)
    assert scores.summary["aic"].chance == pytest.approx(2 / (len(CLASSES) + 1))
    assert scores.summary["aic"].value is not None
    found = scores.evaluation.per_class["audio"]["ais_cos"]
    assert set(found) == {*CLASSES, "everywhere"}
    assert found["everywhere"].n == len(clips)
    assert found["everywhere"].mean == pytest.approx(scores.summary["ais_cos"].value)


def test_inputs_that_do_not_belong_together_are_refused(world, scorers):
    """Catches: images of another split, doubled images, an empty run."""
    images = world.painted(Arm.AUDIO, shift=0)
    with pytest.raises(ValueError, match="no images"):
        world.score([], scorers)
    with pytest.raises(ValueError, match="two images"):
        world.score([*images, images[0]], scorers)
    with pytest.raises(ValueError, match="is not a test clip"):
        world.score([replace(images[0], sample_id="elsewhere")], scorers)
    with pytest.raises(ValueError, match="same id"):
        world.score(images, scorers, clips=[*world.clips, world.clips[0]])


def test_iis_by_hand_compares_with_the_real_pictures_of_other_clips(world, scorers, listening):
    """Catches: the own picture among the rivals, or the heard clip's picture as the own."""
    table = listening.per_clip
    shuffled = table[(table["arm"] == "shuffled") & (table["metric"] == "iis_win")]
    features = scorers.clip.images([clip.image for clip in world.clips])
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    for position in (0, 13):
        clip = world.clips[position]
        (image,) = [
            image
            for image in world.painted(Arm.SHUFFLED, shift=3)
            if image.sample_id == clip.sample_id
        ]
        painted = [c.image for c in world.clips].index(image.path)
        similarity = unit @ unit[painted]
        rivals = np.delete(similarity, position)
        expected = np.mean(
            np.where(
                np.abs(similarity[position] - rivals) <= 1e-6, 0.5, similarity[position] > rivals
            )
        )
        (got,) = shuffled.loc[shuffled["sample_id"] == clip.sample_id, "value"]
        assert got == pytest.approx(expected)
    assert listening.arms[REAL]["iis_win"].value == pytest.approx(1.0, abs=0.02)


def test_diversity_is_that_of_a_clips_draws(world, scorers, listening):
    """Catches: distances among clips, or draws of another arm, taken for diversity."""
    assert listening.summary["judge_diversity"].value == pytest.approx(0.0, abs=1e-9)
    shuffled = listening.arms["shuffled"]["judge_diversity"]
    assert shuffled.value is None
    assert shuffled.reason == "undefined for every clip of this arm"
    images = [
        *world.painted(Arm.AUDIO, shift=0)[:2],
        *world.painted(Arm.AUDIO, shift=1, draw=1)[:2],
    ]
    scores = world.score(images, scorers)
    first, second = (
        scorers.image_judge.read([a.path, b.path]).features
        for a, b in ((images[0], images[2]), (images[1], images[3]))
    )
    expected = np.mean(
        [1 - x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x, y in (first, second)]
    )
    assert scores.summary["judge_diversity"].value == pytest.approx(expected, abs=1e-5)


def test_standard_errors_are_over_clips(listening):
    """Catches: draws counted as clips, or the error of a distance from one resample."""
    table = listening.per_clip
    rows = table[(table["metric"] == "ais_cos") & (table["arm"] == "audio")]
    by_clip = rows.groupby("sample_id")["value"].mean()
    expected = by_clip.std(ddof=1) / np.sqrt(len(by_clip))
    assert listening.summary["ais_cos"].standard_error == pytest.approx(expected)
    assert listening.arms["shuffled"]["kid"].standard_error > 0
    assert listening.summary["frechet_clip"].standard_error is None


def test_class_values_are_means_over_the_clips_of_a_class(listening):
    """Catches: classes out of step, or draws counted as clips."""
    found = listening.evaluation.per_class["audio"]["ais_cos"]
    assert set(found) == set(CLASSES)
    table = listening.per_clip
    rows = table[(table["metric"] == "ais_cos") & (table["arm"] == "audio")]
    for name, value in found.items():
        by_clip = rows[rows["class_name"] == name].groupby("sample_id")["value"].mean()
        assert value.n == len(by_clip) == PER_CLASS
        assert value.mean == pytest.approx(by_clip.mean())
        assert value.sd == pytest.approx(by_clip.std(ddof=1))
    whole = np.mean([value.mean for value in found.values()])
    assert listening.summary["ais_cos"].value == pytest.approx(whole)


def test_a_copy_of_a_training_picture_is_found(world, scorers):
    """Catches: the nearest sought among test pictures, or rows out of step with names."""
    training = {f"train-{k}": clip.image for k, clip in enumerate(world.clips[::2])}
    images = world.painted(Arm.AUDIO, shift=0)[:5]
    scores = world.score(images, scorers, training_images=training)
    table = scores.nearest.table
    generated = table[table["arm"] == "audio"].set_index("sample_id")
    for position in (0, 2, 4):
        row = generated.loc[world.clips[position].sample_id]
        assert row["nearest_id"] == f"train-{position // 2}"
        assert row["similarity"] == pytest.approx(1.0, abs=1e-5)
    assert generated.loc[world.clips[1].sample_id, "similarity"] < 0.9999
    summary = scores.evaluation.nearest_training
    assert summary.num_training == 16
    assert summary.arms["audio"].n == 5
    assert summary.extractor_hash == scorers.fingerprint["clip"]
    assert "nearest_training.csv" in scores.files()


def test_every_value_carries_the_splits_hash_and_the_record_its_scorers(world, scorers):
    """Catches: numbers of two splits that look alike."""
    scores = world.score(world.painted(Arm.AUDIO, shift=0), scorers, split_hash="abc")
    values = [value for of_arm in scores.arms.values() for value in of_arm.values()]
    assert {value.split_hash for value in values} == {"abc"}
    extractors = scores.evaluation.extractors
    assert {role: e.fingerprint for role, e in extractors.items()} == scorers.fingerprint


def test_cached_real_features_change_no_score(world, scorers, listening, tmp_path):
    """Catches: a first run that differs from the second, or a cache that nothing reads."""
    images = [
        *world.painted(Arm.AUDIO, shift=0),
        *world.painted(Arm.AUDIO, shift=0, draw=1),
        *world.painted(Arm.SHUFFLED, shift=3),
    ]
    for _ in range(2):
        cache = FeatureCache(tmp_path, context={"split": "abc"})
        scores = world.score(images, scorers, cache=cache)
        pd.testing.assert_frame_equal(scores.per_clip, listening.per_clip, check_exact=True)
        assert as_json(scores) == as_json(listening)
    names = sorted(path.name.rsplit("-", 1)[0] for path in tmp_path.iterdir())
    assert names == ["pictures-clip", "pictures-judged", "sounds-judged"]

    def refused(sample_id: str) -> np.ndarray:
        raise AssertionError(f"the sound of {sample_id} was decoded again")

    cache = FeatureCache(tmp_path, context={"split": "abc"})
    world.score(images, scorers, cache=cache, waveform_of=refused)


def test_common_captions_take_the_most_frequent_of_a_class():
    """Catches: zero-shot classes named after one odd clip."""
    clips = [
        ScoredClip(sample_id=str(i), class_name="rain", caption=text)
        for i, text in enumerate(["drizzle", "rain", "rain"])
    ]
    assert common_captions(clips) == {"rain": "rain"}


def test_an_unknown_metric_is_refused_with_a_suggestion():
    """Catches: a misspelt headline metric that silently ranks nothing."""
    with pytest.raises(UsageError, match="did you mean 'listening_rank'"):
        metric("listning_rank")
    assert metric("attribute_error.pitch").higher_is_better is False
