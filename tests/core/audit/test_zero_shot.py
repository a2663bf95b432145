"""Likely mislabelled clips, by what CLAP hears."""

from dataclasses import replace

import numpy as np
import pytest

from core.audit.listening import listen
from core.audit.zero_shot import class_captions, judge
from core.data.cleaning.clean import build_manifest
from core.embedded.corpus.folder import write_corpus
from core.errors import DataError
from core.foundation.foundation import Foundation


def judged(labels, probability):
    return judge(
        [(f"clip{n}", label) for n, label in enumerate(labels)],
        classes=["fire", "rain"],
        probability_NK=np.array(probability),
        name="folder",
        captions={"fire": "fire", "rain": "rain"},
    )


def test_a_clip_is_suspect_when_it_sounds_more_like_another_class_than_its_own_clips_do():
    """Catches: thresholds over all clips, exchanged axes, or the least likely listed first."""
    fire = [0.9, 0.05, 0.7, 0.8, 0.4, 0.2, 0.1, 0.9]
    found = judged(["fire"] * 5 + ["rain"] * 3, [[p, 1 - p] for p in fire])
    assert found.thresholds == pytest.approx({"fire": 0.57, "rain": 0.6})
    assert found.agreement == pytest.approx({"fire": 0.6, "rain": 2 / 3})
    assert [(s.id, s.likely) for s in found.suspects] == [
        ("clip1", "rain"),
        ("clip7", "fire"),
        ("clip4", "rain"),
    ]
    assert found.suspects[0].probability == pytest.approx(0.05)
    assert found.not_judged == ()


def test_a_clip_below_the_threshold_of_the_other_class_is_no_suspect():
    """Catches: every close call listed among eight classes of which none is sure."""
    probability = np.full((6, 3), 0.3)
    probability[:3, 0], probability[3:, 1] = 0.4, 0.45
    probability[2] = [0.34, 0.36, 0.30]
    found = judge(
        [(f"clip{n}", ("fire", "rain")[n // 3]) for n in range(6)] + [("wind", "wind")],
        classes=["fire", "rain", "wind"],
        probability_NK=np.vstack([probability, [0.3, 0.3, 0.4]]),
        name="folder",
        captions={},
    )
    assert found.thresholds["rain"] == pytest.approx(0.45)
    assert found.suspects == ()


def test_a_class_that_clap_cannot_hear_accuses_nobody():
    """Catches: every clip of a class listed because the encoder prefers another throughout."""
    found = judged(["fire"] * 3 + ["rain"] * 3, [[0.1, 0.9]] * 3 + [[0.2, 0.8]] * 3)
    assert found.agreement == {"fire": 0.0, "rain": 1.0}
    assert found.suspects == ()
    assert found.not_judged == ("fire",)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    counts = dict.fromkeys(("rain", "siren", "thunder"), 6)
    write_corpus(folder / "media", seed=0, counts=counts, spoilt=False)
    return build_manifest(folder / "media", max_excluded_share=0, window_s=3.0)


def test_exchanged_labels_are_found_and_left_as_they_are(corpus, tmp_path):
    """Catches: an audit that hears nothing, or one that edits labels."""
    foundation = Foundation(stable_diffusion="embedded:stable_diffusion", clap="embedded:clap")
    samples = list(corpus.samples)
    wrong = next(k for k, sample in enumerate(samples) if sample.class_name == "siren")
    samples[wrong] = replace(samples[wrong], class_name="rain", caption="A scene with rain sound")
    before = list(samples)
    calls = []
    found = listen(
        samples,
        name="corpus",
        root=corpus.root,
        foundation=foundation,
        window_s=3.0,
        cache_dir=tmp_path,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert samples == before
    assert [(s.id, s.class_name, s.likely) for s in found.suspects] == [
        (samples[wrong].id, "rain", "siren")
    ]
    assert found.captions["siren"] == "A scene with siren sound"
    assert calls[-1] == (18, 18)


def test_a_class_is_named_by_the_caption_its_clips_share(manifest_of):
    """Catches: one clip's own description standing for its class."""
    samples = list(manifest_of({"dog_barking": 4, "rain": 4}).samples)
    samples[:4] = [replace(s, caption=f"dog number {k}") for k, s in enumerate(samples[:4])]
    assert class_captions(samples) == {
        "dog_barking": "A scene with dog barking sound",
        "rain": "A scene with rain sound",
    }
    with pytest.raises(DataError, match="all clips are of one class"):
        class_captions(samples[:4])
