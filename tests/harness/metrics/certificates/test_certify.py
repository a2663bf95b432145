"""Certificates of the embedded scorers on clips of the procedural corpus."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.embedded.corpus.mixtures import make_mixture
from core.embedded.corpus.pairs import make_pair
from harness.comparison.certified import task_of
from harness.metrics.arms import ScoredClip
from harness.metrics.certificates.alterations import OF_PICTURES, OF_SOUNDS, resampled_sound
from harness.metrics.certificates.certify import certify
from harness.metrics.certificates.judged import in_turn
from harness.metrics.registry import METRICS
from harness.metrics.scorers.scorers import Scorers
from harness.records.certificate import Certificate, Task, identity_of, load_certificate

PER_CLASS = 8
CLASSES = ("engine", "siren")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Clips with pictures and attributes, and their sounds."""
    folder = tmp_path_factory.mktemp("pictures")
    found, waves = [], {}
    for name in CLASSES:
        for index in range(PER_CLASS):
            pair = make_pair(name, seed=3, namespace="certificates", index=index)
            path = folder / f"{name}{index}.png"
            Image.fromarray(pair.image).save(path)
            attributes = asdict(pair.attributes)
            found.append(
                ScoredClip(
                    sample_id=path.stem,
                    class_name=name,
                    caption=f"the sound of {name}",
                    image=path,
                    attributes=attributes,
                )
            )
            waves[path.stem] = pair.clip
    return found, waves


@pytest.fixture(scope="module")
def scorers():
    return Scorers.load(
        clip="embedded:clip",
        image_judge="embedded:image_judge",
        audio_judge="embedded:audio_judge",
    )


def certificates(clips, waveform_of, scorers) -> dict[tuple[Task, str], Certificate]:
    found = certify(
        clips,
        scorers=scorers,
        waveform_of=waveform_of,
        split_hash="s" * 64,
        part="test",
        window_s=3.0,
        code="c",
    )
    return {(one.task, one.scorer): one for one in found}


@pytest.fixture(scope="module")
def of_tiny(clips, scorers):
    made, waves = clips
    return certificates(made, waves.__getitem__, scorers)


PAIR = "embedded:image_judge+embedded:audio_judge"


def test_the_pair_of_judges_tells_a_clips_own_sound_within_its_class(of_tiny):
    """Catches: the partner's column of another clip, or a rate over all clips for within."""
    found = of_tiny[Task.SOUND, PAIR]
    assert found.across.is_told
    assert found.within.is_told
    assert found.within.rate is not None
    assert found.within.rate > 0.9
    assert found.within.num_clips == len(CLASSES) * PER_CLASS
    assert found.refusal(within=True) is None
    assert of_tiny[Task.ATTRIBUTES, "embedded:image_judge"].within.is_told


def test_sounds_dealt_out_within_classes_leave_classes_alone(clips, scorers):
    """Catches: a certificate that says a teller of classes hears the clip."""
    made, waves = clips
    order = [clip.sample_id for clip in made]
    dealt = dict(zip(order, order[1:PER_CLASS] + order[:1], strict=False))
    second = order[PER_CLASS:]
    dealt |= dict(zip(second, second[1:] + second[:1], strict=True))
    found = certificates(made, lambda i: waves[dealt[i]], scorers)[Task.SOUND, PAIR]
    assert found.across.is_told
    assert not found.within.is_told
    reason = found.refusal(within=True)
    assert reason is not None
    assert "within a class" in reason
    assert "16 clips" in reason


def test_a_deaf_scorer_is_at_chance_exactly(clips, scorers):
    """Catches: ties counted as wins."""
    made, waves = clips
    silence = np.zeros_like(next(iter(waves.values())))
    found = certificates(made, lambda _: silence, scorers)[Task.SOUND, PAIR]
    assert (found.across.rate, found.within.rate) == (0.5, 0.5)
    assert found.across.p == 1.0
    assert found.refusal(within=False) is not None


def test_a_caption_that_a_class_shares_tells_nothing_within_it(of_tiny, clips, scorers):
    """Catches: a rate of ties, read as chance, where there is nothing to tell."""
    one = of_tiny[Task.CAPTION, "embedded:clip"]
    assert one.within.rate is None
    assert "one caption" in (one.refusal(within=True) or "")
    made, waves = clips
    own = [replace(clip, caption=f"{clip.caption} {n}") for n, clip in enumerate(made)]
    told = certificates(own, waves.__getitem__, scorers)[Task.CAPTION, "embedded:clip"]
    assert told.within.rate is not None


def test_alterations_say_how_far_they_move_a_clip(of_tiny):
    """Catches: the unaltered clip measured again, or sounds altered where pictures are named."""
    rows = {row.alteration: row for row in of_tiny[Task.SOUND, PAIR].alterations}
    assert set(rows) == {one.words for one in (*OF_SOUNDS, *OF_PICTURES)}
    for row in rows.values():
        assert row.moved is not None
        assert 0 < row.moved < 1, row.alteration
    louder = rows["gain: half the amplitude (-6 dB)"]
    assert louder.altered == "sound"
    assert louder.moved is not None
    assert louder.moved > 0.02
    # Attributes are read off pictures, of which a crop moves some.
    read = {
        row.alteration: row for row in of_tiny[Task.ATTRIBUTES, "embedded:image_judge"].alterations
    }
    assert set(read) == {one.words for one in OF_PICTURES}
    assert all(row.altered == "picture" for row in read.values())
    assert any(row.moved for row in read.values())


def test_a_resampled_sound_keeps_its_length_and_loses_what_is_high():
    """Catches: a delay or another length, which would be read as another onset."""
    time = np.arange(48_000) / 48_000
    low, high = (np.sin(2 * np.pi * hz * time).astype(np.float32) for hz in (1_000, 12_000))
    got = resampled_sound((low + high)[:47_999])
    assert got.shape == (47_999,)
    np.testing.assert_allclose(got[2_000:-2_000], low[2_000:-2_001], atol=0.02)


def test_clips_in_turn_hold_each_class_early(clips):
    """Catches: LPIPS asked about one class alone, of the first names."""
    first = in_turn(clips[0])[:4]
    assert [clip.class_name for clip in first] == ["engine", "siren"] * 2


def test_a_certificate_lies_where_its_identity_says(of_tiny, tmp_path: Path):
    """Catches: a certificate of other weights, another split or another question taken for it."""
    one = of_tiny[Task.SOUND, PAIR]
    path = one.save(tmp_path)
    known = {"scorer_hash": one.scorer_hash, "split_hash": one.split_hash, "part": "test"}
    assert path.stem == identity_of(Task.SOUND, **known)
    assert load_certificate(tmp_path, one.identity) == one
    for change in ({"scorer_hash": "x"}, {"split_hash": "x"}, {"part": "val"}):
        other = identity_of(Task.SOUND, **{**known, **change})
        assert other != one.identity
        assert load_certificate(tmp_path, other) is None
    assert identity_of(Task.ATTRIBUTES, **known) != one.identity


@pytest.fixture(scope="module")
def mixtures(tmp_path_factory):
    """Clips of several sources with their pictures and sounds."""
    folder = tmp_path_factory.mktemp("mixtures")
    found, waves = [], {}
    for index in range(40):
        mixture = make_mixture(seed=0, namespace="certificates", index=index)
        labels = mixture.scene.labels
        path = folder / f"mixture{index}.png"
        Image.fromarray(mixture.image).save(path)
        found.append(
            ScoredClip(
                sample_id=path.stem,
                class_name=labels[0],
                caption=mixture.caption,
                image=path,
                labels=labels,
            )
        )
        waves[path.stem] = mixture.clip
    return found, waves


def test_the_judge_of_sources_tells_clips_apart_by_what_it_finds(mixtures):
    """Catches: a metric of listening whose judge has no certificate, or sources held against the
    next clip's."""
    clips, waves = mixtures
    judge = Scorers.load(clip="embedded:clip", source_judge="embedded:source_judge")
    key = (Task.SOURCES, "embedded:source_judge")
    found = certificates(clips, waves.__getitem__, judge)[key]
    assert found.across.is_told
    assert found.across.rate is not None
    assert found.across.rate > 0.95
    assert found.refusal(within=True) is None
    assert found.alterations
    assert task_of(METRICS["unnamed_source_recall"]) is Task.SOURCES
    turned = [replace(clip, labels=clips[k - 1].labels) for k, clip in enumerate(clips)]
    wrong = certificates(turned, waves.__getitem__, judge)[key]
    assert wrong.refusal(within=False) is not None


def test_sources_that_the_judge_does_not_know_have_no_certificate(mixtures):
    """Catches: a judge certified on labels that it never answers for."""
    clips, waves = mixtures
    judge = Scorers.load(clip="embedded:clip", source_judge="embedded:source_judge")
    for labels in ((), ("trombone",)):
        asked = [replace(clip, labels=labels) for clip in clips]
        tasks = {task for task, _ in certificates(asked, waves.__getitem__, judge)}
        assert Task.SOURCES not in tasks
