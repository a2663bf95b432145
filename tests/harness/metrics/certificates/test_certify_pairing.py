"""Certificates of the regression between a sound encoder and a picture classifier."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.randomness import rng
from harness.comparison.certified import task_of
from harness.metrics.arms import ScoredClip
from harness.metrics.certificates.alterations import OF_PICTURES, OF_SOUNDS
from harness.metrics.certificates.certify import certify
from harness.metrics.pairing import MIN_CLIPS
from harness.metrics.registry import METRICS
from harness.metrics.scorers import picture, sound
from harness.metrics.scorers.picture import PictureClassifier
from harness.metrics.scorers.scorers import Scorers
from harness.metrics.scorers.sound import SoundScorer
from harness.records.certificate import Certificate, Task
from tests.harness.metrics.scorers.test_picture import FILE
from tests.harness.metrics.scorers.test_picture import write_weights as write_picture
from tests.harness.metrics.scorers.test_sound import write_weights as write_sound

CLASSES, PER_CLASS, WIDTH = ("owl", "rain", "horn", "drum"), 12, 24


@dataclass(frozen=True)
class Planted:
    """An encoder of known truth: what a medium holds of its class and of its clip, and noise.

    A medium names its clip by its first number, a sound and a picture alike.
    """

    of_class: float
    of_clip: float
    name: str
    noise: float = 0.3
    fingerprint: str = field(default="planted")

    def images(self, paths: list[Path]) -> np.ndarray:
        return np.stack([self._row(int(np.asarray(Image.open(path))[4, 4, 0])) for path in paths])

    def embed(self, waveforms: list[np.ndarray]) -> np.ndarray:
        return np.stack([self._row(round(float(np.abs(wave).max()) * 100)) for wave in waveforms])

    def _row(self, number: int) -> np.ndarray:
        kind, clip = rng(number // PER_CLASS, "planted class"), rng(number, "planted clip")
        own = rng(number, "planted noise", self.name)
        return (
            1.0
            + self.of_class * kind.standard_normal(WIDTH)
            + self.of_clip * clip.standard_normal(WIDTH)
            + self.noise * own.standard_normal(WIDTH)
        )


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> tuple[list[ScoredClip], dict[str, np.ndarray]]:
    """Clips in a picture of one colour and a sound of one loudness, both the clip's number."""
    folder = tmp_path_factory.mktemp("planted")
    made, waves = [], {}
    for number in range(len(CLASSES) * PER_CLASS):
        name = CLASSES[number // PER_CLASS]
        path = folder / f"{name}{number}.png"
        Image.fromarray(np.full((20, 20, 3), number, np.uint8)).save(path)
        made.append(ScoredClip(sample_id=path.stem, class_name=name, caption=name, image=path))
        waves[path.stem] = np.full(4_800, number / 100, np.float32)
    return made, waves


@pytest.fixture(scope="module")
def clip_scorer() -> Any:
    return Scorers.load(clip="embedded:clip").clip


def certificates(clips, scorers: Scorers) -> dict[tuple[Task, str], Certificate]:
    made, waves = clips
    found = certify(
        made,
        scorers=scorers,
        waveform_of=waves.__getitem__,
        split_hash="s" * 64,
        part="test",
        window_s=3.0,
        code="c",
    )
    return {(one.task, one.scorer): one for one in found}


def of_planted(clips, clip_scorer, *, of_class: float, of_clip: float) -> Certificate:
    ear: Any = Planted(of_class, of_clip, "ear")
    eye: Any = Planted(of_class, of_clip, "eye")
    scorers = Scorers(clip=clip_scorer, sound=ear, picture=eye)
    return certificates(clips, scorers)[Task.SOUND, "ear+eye"]


def test_a_judge_of_classes_is_certified_for_classes_and_refused_within_them(clips, clip_scorer):
    """Catches: a judge that tells classes and not instances said to hear the clip."""
    found = of_planted(clips, clip_scorer, of_class=1.0, of_clip=0.0)
    assert found.across.is_told
    assert found.across.rate is not None
    assert found.across.rate > 0.9
    assert found.refusal(within=False) is None
    assert not found.within.is_told
    assert found.within.low is not None
    assert found.within.high is not None
    assert found.within.low < 0.5 < found.within.high
    reason = found.refusal(within=True)
    assert reason is not None
    assert "ear+eye is not shown to tell" in reason
    assert "within a class" in reason
    assert found.scorer_hash == "planted+planted"


def test_a_judge_of_clips_is_told_within_a_class(clips, clip_scorer):
    """Catches: clips compared over folds, or a picture held against the wrong clip's prediction;
    a refusal of whatever the regression says."""
    found = of_planted(clips, clip_scorer, of_class=0.0, of_clip=1.0)
    assert found.within.is_told
    deaf = of_planted(clips, clip_scorer, of_class=0.0, of_clip=0.0)
    assert deaf.refusal(within=False) is not None
    assert deaf.refusal(within=True) is not None


def test_fewer_clips_than_the_regression_needs_are_refused_by_their_number(clips, clip_scorer):
    """Catches: a certificate that rests on three pairs, or none at all, which refuses nothing."""
    made, waves = clips
    ear: Any = Planted(1.0, 0.0, "ear")
    eye: Any = Planted(1.0, 0.0, "eye")
    scorers = Scorers(clip=clip_scorer, sound=ear, picture=eye)
    few = certificates((made[: MIN_CLIPS - 1], waves), scorers)[Task.SOUND, "ear+eye"]
    assert few.across.rate is few.within.rate is None
    assert few.across.reason is not None
    assert few.across.reason.startswith("11 clips; the regression")
    assert few.alterations == ()
    assert few.refusal(within=False) is not None
    enough = certificates((made[:MIN_CLIPS], waves), scorers)[Task.SOUND, "ear+eye"]
    assert enough.within.rate is not None


def test_metrics_of_the_two_networks_look_for_these_certificates():
    """Catches: pair_win waiting for a certificate of pictures alone, which nobody gives."""
    assert task_of(METRICS["pair_win"]) is Task.SOUND
    assert task_of(METRICS["kid_picture"]) is Task.PICTURE


def test_the_real_networks_are_asked_about_alterations_of_both_media(
    clips, clip_scorer, tmp_path, monkeypatch
):
    """Catches: an alteration that reaches another encoder's features; the picture classifier left
    without a certificate; gain said to move an encoder that divides by the peak."""
    monkeypatch.setattr(sound, "SHA256", {"checkpoint.pth": write_sound(tmp_path / "sound")})
    monkeypatch.setattr(picture, "SHA256", {FILE: write_picture(tmp_path / "picture")})
    scorers = Scorers.load(
        clip="embedded:clip", sound=str(tmp_path / "sound"), picture=str(tmp_path / "picture")
    )
    assert isinstance(scorers.sound, SoundScorer)
    assert isinstance(scorers.picture, PictureClassifier)
    made, folder = [], tmp_path / "media"
    folder.mkdir()
    waves = {}
    for number in range(MIN_CLIPS):
        path = folder / f"clip{number}.png"
        draw = rng(number, "media")
        Image.fromarray(draw.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(path)
        name = CLASSES[number % 2]
        made.append(ScoredClip(sample_id=path.stem, class_name=name, caption=name, image=path))
        waves[path.stem] = draw.standard_normal(48_000).astype(np.float32)
    found = certificates((made, waves), scorers)
    names = scorers.sound.name, scorers.picture.name
    pair = found[Task.SOUND, "+".join(names)]
    moved = {row.alteration: row.moved for row in pair.alterations}
    assert set(moved) == {one.words for one in (*OF_SOUNDS, *OF_PICTURES)}
    gain, *others = (moved[one.words] for one in (*OF_SOUNDS, *OF_PICTURES))
    assert gain is not None
    assert gain < 1e-4
    assert all(one is not None and one > 1e-3 for one in others)
    alone = found[Task.PICTURE, names[1]]
    assert {row.alteration for row in alone.alterations} == {one.words for one in OF_PICTURES}
    assert alone.scorer_hash == scorers.picture.fingerprint
