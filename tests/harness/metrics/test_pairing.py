"""pair_win: a regression between sounds and pictures, fitted on other clips' pairs."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from core.randomness import rng
from harness.metrics.arms import ScoredClip
from harness.metrics.batch import Batch
from harness.metrics.metric import Absent
from harness.metrics.pairing import MIN_CLIPS, folds, paired_similarity
from harness.metrics.per_clip import unit_rows, win_rate
from harness.metrics.registry import METRICS
from harness.testing.toy_world import ToyWorld, toy_world

NUM_CLIPS = 60


def wins(sounds_RD: np.ndarray, pictures_RE: np.ndarray) -> float:
    fold_R = folds([str(k) for k in range(len(sounds_RD))])
    similarity_IR, is_compared_RR = paired_similarity(
        pictures_RE, sounds_RD=sounds_RD, pictures_RE=pictures_RE, fold_R=fold_R
    )
    return float(np.nanmean(win_rate(similarity_IR, own=range(len(sounds_RD)),
                                     compared_IR=is_compared_RR)))  # fmt: skip


def world(seed: int, *, shared: float) -> tuple[np.ndarray, np.ndarray]:
    """Unit sounds [R, 12] and pictures [R, 20] that have so much of a cause in common."""
    draw = rng(seed, "pairing")
    cause_RK = draw.standard_normal((NUM_CLIPS, 3))
    sounds = shared * cause_RK @ draw.standard_normal((3, 12)) + draw.standard_normal(
        (NUM_CLIPS, 12)
    )
    pictures = shared * cause_RK @ draw.standard_normal((3, 20)) + draw.standard_normal(
        (NUM_CLIPS, 20)
    )
    return unit_rows(sounds + 2), unit_rows(pictures + 2)


def test_what_pairs_have_in_common_is_found():
    """Catches: predictions of another clip's sound, a regression that learns nothing."""
    assert wins(*world(0, shared=3.0)) > 0.9


def test_sounds_and_pictures_without_a_bond_win_half():
    """Catches: a clip's own picture among those fitted on, which wins; or a mean of the other
    pictures for a prediction, which loses."""
    found = [wins(*world(seed, shared=0.0)) for seed in range(40)]
    assert abs(float(np.mean(found)) - 0.5) < 4 * float(np.std(found)) / np.sqrt(len(found))
    assert float(np.std(found)) < 0.1


def test_folds_depend_on_ids_alone_and_hold_four_or_more():
    """Catches: a score that moves with the order of the clips; a fold with nothing to win."""
    ids = [f"clip {k}" for k in range(18)]
    found = dict(zip(ids, folds(ids), strict=True))
    turned = dict(zip(reversed(ids), folds(ids[::-1]), strict=True))
    assert found == turned
    assert np.bincount(folds(ids)).min() >= 4
    assert len(np.unique(folds([str(k) for k in range(500)]))) == 10


def by_hand(batch: Batch, clips: Sequence[ScoredClip]) -> np.ndarray:
    """pair_win of each row, from the features alone: a regression in its primal form for each clip.

    clips: those that have a picture.
    """
    picture, sound = batch.scorers.picture, batch.scorers.sound
    assert picture is not None
    assert sound is not None
    assert batch._waveform_of is not None
    heard = [batch._waveform_of(clip.sample_id) for clip in clips]
    x = unit_rows(sound.embed(heard))
    y = unit_rows(picture.images([clip.image for clip in clips if clip.image is not None]))
    fold = folds([clip.sample_id for clip in clips])
    place = {clip.sample_id: k for k, clip in enumerate(clips)}
    scores = []
    for row in batch.rows:
        if row.sample_id not in place:
            scores.append(np.nan)
            continue
        own = place[row.sample_id]
        fitted = fold != fold[own]
        mean_x, mean_y = x[fitted].mean(axis=0), y[fitted].mean(axis=0)
        x_N, y_N = x[fitted] - mean_x, y[fitted] - mean_y
        penalty = (x_N**2).sum() / len(x_N)
        weights = np.linalg.inv(x_N.T @ x_N + penalty * np.eye(x.shape[1])) @ x_N.T @ y_N
        seen = unit_rows(picture.images([row.path]))[0] - mean_y
        fits = {}
        for k in np.flatnonzero(fold == fold[own]):
            predicted = (x[k] - mean_x) @ weights
            fits[k] = seen @ predicted / (np.linalg.norm(seen) * np.linalg.norm(predicted))
        others = [fit for k, fit in fits.items() if k != own]
        scores.append(np.mean([1.0 if fits[own] > fit else 0.0 for fit in others]))
    return np.array(scores)


def pair_win(batch: Batch) -> np.ndarray:
    found = METRICS["pair_win"].compute(batch)
    assert not isinstance(found, Absent)
    return np.asarray(found)


def with_a_clip_without_a_picture(world: ToyWorld) -> tuple[ToyWorld, list[ScoredClip]]:
    """The world and one clip more in front, of which there is a sound alone."""
    alone = replace(world.clips[0], sample_id="alone", image=None)
    waveforms = {**world.waveforms, "alone": world.waveforms[world.clips[0].sample_id]}
    return replace(world, waveforms=waveforms), [alone, *world.clips]


def test_pair_win_of_a_whole_batch_is_that_of_the_regressions_by_hand():
    """Catches: an image ranked against another clip's column, a regression that was fitted on the
    generated images, a fold of other clips, or features that are not unit rows."""
    with toy_world() as world:
        num = len(world.clips)
        batch = world.batch(world.answered([(k + 1) % num for k in range(num)], num_draws=2))
        found, expected = pair_win(batch), by_hand(batch, world.clips)
        np.testing.assert_array_equal(found, expected)
        assert set(np.round(found, 3)) > {0.0, 1.0}  # so that an order is told from another
        real = np.array([row.arm == "real" for row in batch.rows])
        assert found[real].mean() > 0.5


def test_a_clip_without_a_picture_has_no_pair_win_and_moves_nobodys():
    """Catches: columns shifted by a clip that has no picture, or its sound among the rivals."""
    with toy_world() as plain:
        world, clips = with_a_clip_without_a_picture(plain)
        answers = world.answered(range(len(world.clips))[::-1])
        alone = replace(answers[0], clip=clips[0])
        batch = world.batch([alone, *answers], clips=clips)
        found = pair_win(batch)
        assert np.isnan(found[0])
        np.testing.assert_array_equal(found, by_hand(batch, world.clips))
        np.testing.assert_array_equal(found[1:], pair_win(world.batch(answers)))


def test_too_few_pictures_are_no_regression():
    """Catches: a rate that rests on seven pairs, or a count of clips in place of pictures."""
    with toy_world() as world:
        clips = [replace(world.clips[0], image=None), *world.clips[1:]]
        assert len(clips) == MIN_CLIPS
        found = METRICS["pair_win"].compute(world.batch(world.answered(range(12)), clips=clips))
        assert isinstance(found, Absent)
        assert found.reason.startswith("11 scored clips have a picture")
        assert str(MIN_CLIPS) in found.reason


def test_sounds_that_are_altered_are_predicted_from_and_not_fitted_on():
    """Catches: a regression fitted on altered sounds, which then undoes the alteration."""
    sounds, pictures = world(3, shared=3.0)
    fold = folds([str(k) for k in range(len(sounds))])
    known = {"sounds_RD": sounds, "pictures_RE": pictures, "fold_R": fold}
    turned = -sounds
    plain, _ = paired_similarity(pictures, **known)
    same, _ = paired_similarity(pictures, **known, heard_RD=sounds)
    np.testing.assert_array_equal(plain, same)
    altered, _ = paired_similarity(pictures, **known, heard_RD=turned)
    refitted, _ = paired_similarity(pictures, **{**known, "sounds_RD": turned})
    np.testing.assert_allclose(refitted, plain, atol=1e-9)
    assert np.abs(altered - plain).max() > 0.5
