"""Copies are found whatever they were coded as; equal classes are no copies."""

import io
from itertools import combinations

import numpy as np
import pytest
import soundfile
import soxr
from PIL import Image

from core.data.media.decode_image import inspect_image
from core.data.media.near_duplicates import (
    MIN_SOUND_SIMILARITY,
    near_duplicate_pictures,
    near_duplicate_sounds,
    picture_hash,
    sound_fingerprint,
)
from core.embedded.corpus.classes import CLASSES
from core.embedded.corpus.pairs import pair_clip

RATE = 48_000


@pytest.fixture(scope="module")
def clips():
    """float32 clips by name: five of each class of the embedded corpus."""
    return {
        f"{name}{index}": pair_clip(name, seed=0, namespace="near duplicates", index=index)
        for name in sorted(CLASSES)
        for index in range(5)
    }


@pytest.fixture(scope="module")
def fingerprints(clips):
    return {name: sound_fingerprint(clip, rate_hz=RATE) for name, clip in clips.items()}


def similarity(first, second):
    """Cosine of two fingerprints."""
    rows = [np.frombuffer(raw, dtype=np.int8).astype(float) for raw in (first, second)]
    return rows[0] @ rows[1] / (np.linalg.norm(rows[0]) * np.linalg.norm(rows[1]))


def recoded(clip, rate=RATE, **options):
    buffer = io.BytesIO()
    soundfile.write(buffer, clip, rate, **options)
    buffer.seek(0)
    return soundfile.read(buffer, dtype="float32")


COPIES = {
    "12 dB down": lambda clip: (clip * np.float32(0.25), RATE),
    "30 dB down, 16 bit": lambda clip: recoded(clip * 0.03, format="WAV", subtype="PCM_16"),
    "mp3": lambda clip: recoded(clip, format="MP3"),
    "vorbis": lambda clip: recoded(clip, format="OGG", subtype="VORBIS"),
    "opus": lambda clip: recoded(clip, format="OGG", subtype="OPUS"),
    "44.1 kHz": lambda clip: (soxr.resample(clip, RATE, 44_100), 44_100),
    "16 kHz": lambda clip: (soxr.resample(clip, RATE, 16_000), 16_000),
}


@pytest.mark.parametrize("coding", COPIES)
def test_a_copy_in_another_coding_is_found(clips, fingerprints, coding):
    """Catches: a fingerprint that hears the level, the codec or the rate."""
    for name in list(clips)[::3]:
        samples, rate = COPIES[coding](clips[name])
        copy = sound_fingerprint(np.ascontiguousarray(samples), rate_hz=rate)
        assert similarity(copy, fingerprints[name]) >= MIN_SOUND_SIMILARITY
        assert near_duplicate_sounds({**fingerprints, "~copy": copy}) == {"~copy": name}


def test_different_clips_of_one_class_are_no_copies(fingerprints):
    """Catches: a fingerprint of the class, under which all engines are one recording."""
    for first, second in combinations(fingerprints.values(), 2):
        assert similarity(first, second) < MIN_SOUND_SIMILARITY - 0.1


def test_a_steady_tone_and_a_blip_have_no_fingerprint():
    """Catches: all pure tones, or all clips of half a second, taken for one."""
    times = np.arange(3 * RATE) / RATE
    tone = (0.3 * np.sin(2 * np.pi * 1_500 * times)).astype(np.float32)
    assert sound_fingerprint(tone, rate_hz=RATE) is None
    assert sound_fingerprint(np.zeros(3 * RATE, np.float32), rate_hz=RATE) is None
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    assert sound_fingerprint(noise, rate_hz=RATE) is None


def test_the_search_finds_what_comparing_all_pairs_finds():
    """Catches: a table that loses pairs, or groups that do not join over a third."""
    generator = np.random.default_rng(0)
    prints = {
        f"{k:04}": generator.integers(-127, 128, 465).astype(np.int8).tobytes() for k in range(600)
    }
    for k in range(100):
        values = np.frombuffer(prints[f"{k:04}"], np.int8).astype(np.float64)
        noise = generator.standard_normal(465) * values.std() * 0.4  # similarity about 0.93
        copy = np.clip(np.rint(values + noise), -127, 127).astype(np.int8)
        prints[f"{k:04} copy"] = copy.tobytes()
    expected = {f"{k:04} copy": f"{k:04}" for k in range(100)}
    found = near_duplicate_sounds(prints)
    assert found.items() <= expected.items()
    assert len(found) >= 99


def test_a_crowd_of_copies_is_one_group():
    """Catches: a limit on neighbours that tears a large group apart."""
    same = np.random.default_rng(0).integers(-127, 128, 465).astype(np.int8).tobytes()
    found = near_duplicate_sounds({f"{k:04}": same for k in range(400)})
    assert found == {f"{k:04}": "0000" for k in range(1, 400)}
    hashes = {f"{k:04}": 0xF0F0_1234_5678_9ABC for k in range(900)}
    assert near_duplicate_pictures(hashes) == {f"{k:04}": "0000" for k in range(1, 900)}


def test_pictures_of_up_to_four_different_bits_are_found():
    """Catches: blocks that miss a pair at the limit, or a limit one off."""
    generator = np.random.default_rng(0)
    for trial in range(200):
        base = int(generator.integers(0, 1 << 63))
        places = [int(place) for place in generator.permutation(64)[:5]]
        four = base ^ sum(1 << place for place in places[:4])
        five = base ^ sum(1 << place for place in places)
        assert near_duplicate_pictures({"a": base, "b": four}) == {"b": "a"}, trial
        assert near_duplicate_pictures({"a": base, "b": five}) == {}, trial


def test_nothing_has_no_duplicates():
    """Catches: an error on an empty folder."""
    assert near_duplicate_sounds({}) == {}
    assert near_duplicate_pictures({}) == {}


def scene(seed, *, size=(640, 360)):
    cells = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), np.uint8)
    return Image.fromarray(cells).resize(size, Image.Resampling.BICUBIC)


def test_a_picture_saved_anew_is_near_and_another_is_not(tmp_path):
    """Catches: a hash of size, quality, format or orientation tag instead of what is seen."""
    original = scene(1)
    original.save(tmp_path / "a.png")
    original.save(tmp_path / "b.jpg", quality=40)
    original.resize((1_280, 720)).save(tmp_path / "c.jpg", quality=90)
    original.resize((160, 90)).save(tmp_path / "d.webp")
    exif = Image.Exif()
    exif[0x0112] = 3
    original.transpose(Image.Transpose.ROTATE_180).save(tmp_path / "e.jpg", exif=exif)
    scene(2).save(tmp_path / "f.jpg")
    hashes = {path.name: inspect_image(path).hash for path in sorted(tmp_path.iterdir())}
    found = near_duplicate_pictures(hashes)
    assert found == dict.fromkeys(("b.jpg", "c.jpg", "d.webp", "e.jpg"), "a.png")


def test_the_hash_is_imagehashs_phash():
    """Catches: bits in another order, or a hash of another size."""
    import imagehash

    grey = scene(3).convert("L")
    expected = imagehash.phash(grey)
    assert imagehash.hex_to_hash(f"{picture_hash(grey):016x}") == expected


def test_a_picture_of_one_shade_has_no_hash(tmp_path):
    """Catches: all black frames taken for one picture."""
    Image.new("RGB", (64, 48), (9, 9, 9)).save(tmp_path / "black.png")
    facts = inspect_image(tmp_path / "black.png")
    assert facts.hash is None
    assert facts.luma_spread == 0
    assert (facts.width, facts.height) == (64, 48)
