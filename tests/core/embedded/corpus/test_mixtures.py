"""The corpus of mixtures: what each source says and shows, and the folder that holds it."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from core.embedded.corpus.classes import CLASSES, caption
from core.embedded.corpus.folder import write_mixtures
from core.embedded.corpus.mixtures import Scene, Source, draw_mixture, draw_scene, make_mixture, mix
from core.randomness import rng

NUM_SCENES = 2_000


def scene_of(*classes: str, distance: float = 0.3, loudness: float = 0.8) -> Scene:
    """Sources from left to right."""
    sources = [
        Source(cls, pitch=0.5, onset=(k + 1) / 4, loudness=loudness, distance=distance)
        for k, cls in enumerate(classes)
    ]
    return Scene(tuple(sources), hiss=0.5)


def test_mixtures_are_pure_functions_of_seed_namespace_and_index() -> None:
    """Catches: hidden generator state, and namespaces that share draws."""
    first = make_mixture(seed=3, namespace="a", index=5)
    make_mixture(seed=3, namespace="a", index=1)
    again = make_mixture(seed=3, namespace="a", index=5)
    np.testing.assert_array_equal(first.clip, again.clip)
    np.testing.assert_array_equal(first.image, again.image)
    assert first.attributes == again.attributes
    for seed, namespace, index in ((4, "a", 5), (3, "b", 5), (3, "a", 6)):
        assert draw_scene(seed=seed, namespace=namespace, index=index) != first.scene


def test_shares_of_mixed_clips_are_those_that_are_stated() -> None:
    """Catches: a corpus of single sources, or one class that is drawn more than another."""
    scenes = [draw_scene(seed=0, namespace="mixtures", index=k) for k in range(NUM_SCENES)]
    num = np.array([len(scene.sources) for scene in scenes])
    assert set(num) == {1, 2, 3}
    assert np.mean(num > 1) == pytest.approx(0.62, abs=0.03)
    assert num[num > 1].mean() == pytest.approx(2.3, abs=0.05)
    counts = [sum(cls in scene.labels for scene in scenes) for cls in CLASSES]
    assert max(counts) < 1.25 * min(counts)
    assert all(len(set(scene.labels)) == len(scene.sources) for scene in scenes)


def test_the_caption_names_the_loudest_source_alone() -> None:
    """Catches: a caption that tells what only the sound should, or names a faint source."""
    scene = scene_of("fire", "siren")
    far = replace(scene.sources[0], distance=1.0)
    for sources, loudest in (((far, scene.sources[1]), "siren"), (scene.sources[:1], "fire")):
        _, shares = mix(Scene(sources, 0.5), rng(0, "test"))
        assert sum(shares) == pytest.approx(1.0)
        assert sources[int(np.argmax(shares))].cls == loudest
    for index in range(12):
        mixture = make_mixture(seed=0, namespace="test", index=index)
        share = {s.cls: mixture.attributes[f"mix.{s.cls}"] for s in mixture.scene.sources}
        assert mixture.caption == caption(max(share, key=share.__getitem__))


def test_every_source_is_in_the_clip() -> None:
    """Catches: a mix that drops a source, clips, or leaves the loudness of a source out."""
    pair, fire = scene_of("fire", "siren"), scene_of("fire")
    both, shares = mix(pair, rng(0, "test"))
    alone, _ = mix(fire, rng(0, "test"))
    assert both.dtype == np.float32
    assert both.shape == (144_000,)
    assert np.abs(both).max() < 1.0
    assert min(shares) > 0.1
    # The first source is drawn first, so what is left is the second and a little hiss.
    left = both.astype(np.float64) - alone
    siren, _ = mix(Scene(pair.sources[1:], 0.5), rng(0, "other"))
    assert np.mean(left**2) == pytest.approx(np.mean(siren.astype(np.float64) ** 2), rel=0.3)


def test_what_is_far_is_quieter_duller_and_smaller() -> None:
    """Catches: a distance that is neither heard nor seen."""
    near, far = (scene_of("rain", distance=d) for d in (0.0, 1.0))
    clips = [mix(scene, rng(0, "test"))[0].astype(np.float64) for scene in (near, far)]
    level = [10 * np.log10(np.mean(clip**2)) for clip in clips]
    assert level[1] < level[0] - 6
    tilt = []
    for clip in clips:
        power = np.abs(np.fft.rfft(clip)) ** 2
        hz = np.fft.rfftfreq(len(clip), 1 / 48_000)
        tilt.append(power[(hz > 3_000) & (hz < 7_000)].sum() / power[hz < 1_500].sum())
    assert tilt[1] < 0.7 * tilt[0]
    colourful = [
        (np.ptp(draw_mixture(scene, rng(0, "test")).astype(int), axis=2) > 60).sum()
        for scene in (near, far)
    ]
    assert colourful[1] < 0.6 * colourful[0]


def test_every_source_is_in_the_picture_and_those_left_out_are_not() -> None:
    """Catches: a picture that shows fewer sources than are heard."""
    scene = scene_of("dog_barking", "engine", "siren")
    whole = draw_mixture(scene, rng(0, "test")).astype(int)
    for k, (cls, columns) in enumerate(
        zip(("dog_barking", "engine", "siren"), ((0, 22), (22, 42), (42, 64)), strict=True)
    ):
        others = [s.cls for s in scene.sources if s.cls != cls]
        without = draw_mixture(scene, rng(0, "test"), shown=others).astype(int)
        changed = np.abs(whole - without).sum(axis=(0, 2))
        assert changed[slice(*columns)].sum() > 0.6 * changed.sum(), k
    nothing = draw_mixture(scene, rng(0, "test"), shown=())
    assert (np.ptp(nothing.astype(int), axis=2) > 60).sum() < 10


def _hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_folder_is_the_users_layout_with_labels(tmp_path: Path) -> None:
    """Catches: rows that ingest reads as classes, media that are not the mixtures, a second write
    that differs or that replaces another folder."""
    folder = tmp_path / "media"
    write_mixtures(folder, seed=2, count=6)
    rows = json.loads((folder / "metadata.json").read_text())
    assert len(rows) == 6
    made = [make_mixture(seed=2, namespace="mixtures", index=k) for k in range(6)]
    by_mix = {json.dumps(m.scene.labels): m for m in made}
    for row in rows:
        assert "class" not in row
        mixture = by_mix[json.dumps(row["labels"])]
        assert row["text"] == mixture.caption
        assert row["attributes"] == pytest.approx(mixture.attributes, abs=1e-5)
        clip, rate = soundfile.read(folder / row["audio_path"], dtype="float32")
        assert rate == 48_000
        np.testing.assert_allclose(clip, mixture.clip, atol=1e-4)
        with Image.open(folder / row["image_path"]) as picture:
            seen = np.asarray(picture.convert("RGB")).astype(int)
        assert np.abs(seen - mixture.image).mean() < 6  # a quarter are JPEG
    before = _hashes(folder)
    write_mixtures(folder, seed=2, count=6)
    assert _hashes(folder) == before
    write_mixtures(tmp_path / "again", seed=2, count=6)
    assert _hashes(tmp_path / "again") == before
    with pytest.raises(FileExistsError, match="choose another folder"):
        write_mixtures(folder, seed=3, count=6)
