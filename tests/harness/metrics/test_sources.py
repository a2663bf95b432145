"""Sources: planted images that show all, one or none of what a clip has, read by the real judge."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.data.items import DataKind
from core.embedded.corpus.classes import CLASSES
from core.embedded.corpus.mixtures import draw_mixture, draw_scene, make_mixture
from core.randomness import rng
from harness.metrics.arms import REAL, Arm, GeneratedImage, ScoredClip
from harness.metrics.score import RunScores, score_images
from harness.metrics.scorers.scorers import Scorers
from harness.metrics.sources import is_named

NUM_CLIPS = 24
NAMES = ("unnamed_source_recall", "source_recall", "source_precision")


@pytest.fixture(scope="module")
def scorers() -> Scorers:
    return Scorers.load(clip="embedded:clip", source_judge="embedded:source_judge")


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return Planted(tmp_path_factory.mktemp("planted"))


class Planted:
    """Clips of two sources with their pictures, and images by variants of known hearing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scenes, self.clips = {}, []
        for index in range(400):
            scene = draw_scene(seed=0, namespace="planted", index=index)
            if len(scene.sources) != 2 or len(self.clips) == NUM_CLIPS:
                continue
            mixture = make_mixture(seed=0, namespace="planted", index=index)
            name = f"clip{index}"
            self.scenes[name] = (scene, mixture)
            self.clips.append(
                ScoredClip(
                    sample_id=name,
                    class_name=scene.labels[0],
                    caption=mixture.caption,
                    image=self.save(mixture.image, f"{name}-real"),
                    labels=scene.labels,
                )
            )

    def save(self, pixels: np.ndarray, name: str) -> Path:
        path = self.folder / f"{name}.png"
        Image.fromarray(pixels).save(path)
        return path

    def generated(self, variant: str, *, arm: Arm = Arm.AUDIO) -> list[GeneratedImage]:
        """What a variant generates that hears `all` sources, `one` (the loudest) or `none`."""
        images = []
        for name, (scene, mixture) in self.scenes.items():
            loudest = scene.sources[int(np.argmax(mixture.shares))].cls
            shown = {"all": scene.labels, "one": (loudest,), "none": ()}[variant]
            pixels = draw_mixture(scene, rng(7, "generated", name), shown=shown)
            images.append(
                GeneratedImage(
                    sample_id=name,
                    arm=arm,
                    draw=0,
                    path=self.save(pixels, f"{name}-{variant}-{arm}"),
                )
            )
        return images

    def score(self, images, scorers, *, kind=DataKind.LABELS, clips=None) -> RunScores:
        return score_images(images, clips=clips or self.clips, scorers=scorers, kind=kind)


def values(scores: RunScores, arm: str = Arm.AUDIO) -> dict[str, float]:
    return {name: scores.arms[arm][name].value for name in NAMES}


def test_a_variant_that_hears_one_source_scores_half_the_recall_of_one_that_hears_all(
    planted, scorers
):
    """Catches: a recall that one source found is enough for, or that reads the caption's alone."""
    every = values(planted.score(planted.generated("all"), scorers))
    one = values(planted.score(planted.generated("one"), scorers))
    assert every["source_recall"] > 0.95
    assert one["source_recall"] == pytest.approx(every["source_recall"] / 2, abs=0.03)
    # The loudest source is what the caption names: hearing it alone shows nothing else.
    assert every["unnamed_source_recall"] > 0.95
    assert one["unnamed_source_recall"] < 0.05
    assert min(every["source_precision"], one["source_precision"]) > 0.95


def test_an_image_that_shows_nothing_has_no_precision(planted, scorers):
    """Catches: a division by no source found, or a recall of nothing that is blank."""
    scores = planted.score(planted.generated("none"), scorers)
    assert values(scores)["source_recall"] < 0.02
    precision = scores.arms[Arm.AUDIO]["source_precision"]
    assert precision.n < NUM_CLIPS / 4 or precision.reason
    table = scores.per_clip.query("metric == 'source_precision' and arm == 'audio'")
    assert table["value"].isna().mean() > 0.75


def test_the_judge_is_measured_on_the_real_pictures_by_source(planted, scorers):
    """Catches: a recall whose judge nobody can check, or whose chance is not that of its data."""
    scores = planted.score(planted.generated("all"), scorers)
    real = scores.arms[REAL]
    share = {cls: np.mean([cls in clip.labels for clip in planted.clips]) for cls in CLASSES}
    heard = [cls for cls in CLASSES if share[cls]]
    for cls in heard:
        own = real[f"source_recall.{cls}"]
        assert own.n == round(share[cls] * NUM_CLIPS)
        assert own.value > 0.9, cls
        assert own.chance == pytest.approx(share[cls], abs=0.07), cls
    # Chance: the sources of a clip in the picture of any other.
    whole = real["source_recall"]
    expected = np.mean([np.mean([share[cls] for cls in clip.labels]) for clip in planted.clips])
    assert whole.chance == pytest.approx(expected, abs=0.05)
    assert whole.value > whole.chance + 0.5
    assert whole.extractor == "embedded:source_judge"
    assert whole.standard_error is not None


def test_the_margin_over_a_control_pairs_clip_by_clip(planted, scorers):
    """Catches: a metric that listening is not measured by."""
    images = planted.generated("all") + planted.generated("one", arm=Arm.TEXT_ONLY)
    scores = planted.score(images, scorers)
    (margin,) = [m for m in scores.controls if m.metric == "unnamed_source_recall"]
    assert margin.n == NUM_CLIPS
    assert margin.mean > 0.9


def test_it_is_blank_with_its_reason_where_it_says_nothing(planted, scorers):
    """Catches: a number for clips of one class, for sources the judge never saw, or for captions
    that give all sources away."""
    images = planted.generated("all")
    classed = [
        ScoredClip(sample_id=c.sample_id, class_name=c.class_name, caption=c.caption, image=c.image)
        for c in planted.clips
    ]
    by_class = planted.score(images, scorers, kind=DataKind.CLASSES, clips=classed)
    blind = planted.score(images, Scorers.load(clip="embedded:clip"))
    strange = [
        ScoredClip(
            sample_id=c.sample_id,
            class_name=c.class_name,
            caption=c.caption,
            image=c.image,
            labels=(*c.labels, "trombone"),
        )
        for c in planted.clips
    ]
    named = [
        ScoredClip(
            sample_id=c.sample_id,
            class_name=c.class_name,
            caption=" and ".join(label.replace("_", " ") for label in c.labels),
            image=c.image,
            labels=c.labels,
        )
        for c in planted.clips
    ]
    unknown = planted.score(images, scorers, clips=strange)
    for name in NAMES:
        for scores, words in (
            (by_class, "do not have several labels"),
            (blind, "no judge that tells several sources"),
            (unknown, "does not know trombone"),
        ):
            found = scores.summary[name]
            assert found.value is None
            assert words in found.reason
    given = planted.score(images, scorers, clips=named)
    assert "name every source" in given.summary["unnamed_source_recall"].reason
    assert given.summary["source_recall"].value > 0.95


@pytest.mark.parametrize(
    ("label", "caption", "expected"),
    [
        ("dog_barking", "A scene with Dog Barking sound", True),
        ("rain", "a train passes", False),
        ("rain", "Rain, then thunder", True),
        ("빗소리", "멀리서 빗소리", True),
        ("fire", "", False),
    ],
)
def test_a_caption_names_whole_words(label, caption, expected):
    """Catches: `rain` found in `train`, or a name missed for its case or underscore."""
    assert is_named(label, caption=caption) is expected
