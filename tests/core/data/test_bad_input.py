"""The table of bad input, row by row, through a whole cleaning: what is out and why, what is in."""

import hashlib
import os
import struct
import zlib

import numpy as np
import pytest
import soundfile
from PIL import Image

from core.data.cleaning.clean import build_manifest
from core.data.items import Reason, Status
from core.data.media.decode_audio import decode_audio
from core.data.media.decode_image import decode_image
from core.data.media.quality import MEANINGS, Flag, flag_sentence

RATE = 48_000


def noise(seconds=2.0, *, level=0.1, rate=RATE, channels=1, seed=0):
    generator = np.random.default_rng(seed)
    return (level * generator.standard_normal((round(seconds * rate), channels))).clip(-1, 1)


def clipped(share):
    """Noise with this share of its samples at full scale."""
    samples = noise(seed=7)[:, 0]
    samples[: round(share * len(samples))] = 1.0
    return samples


def with_nan():
    samples = noise().astype(np.float32)
    samples[50_000] = np.nan
    return samples


def shortened(path, share=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: round(len(content) * share)])


def bomb(path):
    """A picture of 900 megapixels in 900 bytes or so."""

    def chunk(name, body):
        check = zlib.crc32(name + body)
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", check)

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(bytes(30_000)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + data + chunk(b"IEND", b""))


HEADER_ONLY = (
    b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt "
    + struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16) + b"data" + bytes(4)
)  # fmt: skip
BAD = {
    "header_only.wav": (Reason.EMPTY_AUDIO, lambda p: p.write_bytes(HEADER_ONLY)),
    "zero_bytes.wav": (Reason.EMPTY_AUDIO, lambda p: p.write_bytes(b"")),
    "text.wav": (Reason.UNDECODABLE_AUDIO, lambda p: p.write_text("<html>404</html>" * 99)),
    "jpg.wav": (Reason.UNDECODABLE_AUDIO, lambda p: Image.new("RGB", (64, 64)).save(p, "JPEG")),
    "cut.wav": (Reason.TRUNCATED_AUDIO, lambda p: (write(p, noise()), shortened(p))),
    "cut.ogg": (Reason.TRUNCATED_AUDIO, lambda p: (write(p, noise()), shortened(p))),
    "nan.wav": (Reason.NON_FINITE_AUDIO, lambda p: write(p, with_nan(), subtype="FLOAT")),
    "constant.wav": (Reason.SILENT_AUDIO, lambda p: write(p, np.full(2 * RATE, 0.3))),
    "clipped.wav": (Reason.CLIPPED_AUDIO, lambda p: write(p, clipped(0.2))),
    "short.wav": (Reason.SHORT_AUDIO, lambda p: write(p, noise(0.3))),
    "adpcm.wav": (Reason.UNSUPPORTED_FORMAT, lambda p: write(p, noise(), subtype="IMA_ADPCM")),
    "cut.jpg": (Reason.UNDECODABLE_IMAGE, lambda p: (picture().save(p), shortened(p))),
    "last_bytes.jpg": (Reason.UNDECODABLE_IMAGE, lambda p: (picture().save(p), shortened(p, 0.9))),
    "cut.png": (Reason.UNDECODABLE_IMAGE, lambda p: (picture().save(p), shortened(p))),
    "text.jpg": (Reason.UNDECODABLE_IMAGE, lambda p: p.write_text("not found")),
    "one_pixel.png": (Reason.SMALL_IMAGE, lambda p: Image.new("RGB", (1, 1)).save(p)),
    "bomb.png": (Reason.HUGE_IMAGE, bomb),
    "depth.tif": (Reason.UNSUPPORTED_FORMAT, lambda p: Image.new("F", (64, 64)).save(p)),
}
GOOD = {
    "mono.wav": lambda p: write(p, noise(seed=1)),
    "stereo.wav": lambda p: write(p, noise(seed=2, channels=2)),
    "surround.wav": lambda p: write(p, noise(seed=3, channels=6)),
    "8k.wav": lambda p: write(p, noise(seed=4, rate=8_000), rate=8_000),
    "44k.wav": lambda p: write(p, noise(seed=5, rate=44_100), rate=44_100),
    "96k.wav": lambda p: write(p, noise(seed=6, rate=96_000), rate=96_000),
    "24bit.wav": lambda p: write(p, noise(seed=7), subtype="PCM_24"),
    "float.wav": lambda p: write(p, noise(seed=8), subtype="FLOAT"),
    "a.ogg": lambda p: write(p, noise(seed=9)),
    "a.flac": lambda p: write(p, noise(seed=10)),
    "a.mp3": lambda p: write(p, noise(seed=11)),
    "palette.png": lambda p: picture(1).quantize(16).save(p),
    "alpha.png": lambda p: picture(2).convert("RGBA").save(p),
    "cmyk.jpg": lambda p: picture(3).convert("CMYK").save(p),
    "deep.png": lambda p: Image.fromarray(deep()).save(p),
    "turned.jpg": lambda p: picture(4).save(p, exif=turned()),
    "spaces and \u00fcnicode \u96e8 '<b>.wav": lambda p: write(p, noise(seed=12)),
    "two\nlines.jpg": lambda p: picture(5).save(p),
}


def write(path, samples, *, rate=RATE, subtype=None):
    soundfile.write(path, samples, rate, subtype=subtype)


def picture(seed=0):
    cells = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(cells).resize((160, 120), Image.Resampling.BICUBIC)


def deep():
    return np.linspace(0, 65_535, 64 * 48).astype(np.uint16).reshape(48, 64)


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory):
    """One folder with every row of the table; the partner of each file is sound."""
    root = tmp_path_factory.mktemp("table") / "media"
    (root / "rain").mkdir(parents=True)
    recipes = {name: make for name, (_, make) in BAD.items()} | GOOD
    for index, (name, make) in enumerate(recipes.items()):
        path = root / "rain" / f"{index:02}_{name}"
        make(path)
        if path.suffix in {".wav", ".ogg", ".flac", ".mp3"}:
            picture(100 + index).save(path.with_suffix(".jpg"))
        else:
            write(path.with_suffix(".wav"), noise(seed=100 + index))
    before = digests(root)
    manifest = build_manifest(root, max_excluded_share=0.9)
    assert digests(root) == before  # the originals are never moved or changed
    owner = {}
    for item in manifest.items:
        owner |= {item.audio_path: item, item.image_path: item}
    by_file = {name: owner[f"rain/{index:02}_{name}"] for index, name in enumerate(recipes)}
    return root, manifest, by_file


def digests(root):
    return {
        path: (hashlib.sha256(path.read_bytes()).digest(), path.stat().st_mtime_ns)
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_out_with_its_reason(cleaned, name):
    """Catches: a row of the table that passes, or that is told as something else."""
    item = cleaned[2][name]
    assert item.status is Status.EXCLUDED
    assert item.reason is BAD[name][0]
    assert len(str(item.detail)) > 20
    assert os.fspath(cleaned[0]) not in str(item.detail)


@pytest.mark.parametrize("name", GOOD)
def test_an_unusual_file_is_in(cleaned, name):
    """Catches: a format, rate, layout or name that is refused, or that a run cannot read later."""
    root, _, by_file = cleaned
    item = by_file[name]
    assert item.status is Status.INCLUDED, item.detail
    sound = decode_audio(root / item.audio_path, window_s=10.0)
    assert sound.dtype == np.float32
    assert len(sound) == pytest.approx(2 * RATE, abs=2_500)  # mp3 pads by a frame or two
    # Averaging C channels of independent noise divides its level by the root of C.
    level = 20 * np.log10(0.1 / np.sqrt(item.num_channels))
    is_lossy = name.endswith((".ogg", ".mp3"))  # these coders drop the highest octave
    assert item.rms_dbfs == pytest.approx(level, abs=1.5 if is_lossy else 0.3)
    assert decode_image(root / item.image_path).shape[2] == 3


def test_the_table_adds_up(cleaned):
    """Catches: an item that is neither in nor out."""
    _, manifest, _ = cleaned
    assert manifest.num_input == len(BAD) + len(GOOD)
    assert len(manifest.samples) == len(GOOD)
    assert len(manifest.exclusions) == len(BAD)


def test_sixteen_bits_are_read_as_libsndfile_reads_them(tmp_path):
    """Catches: a scale one off (32,767), or channels mixed up, in the fast path."""
    every = np.arange(-32_768, 32_768, dtype=np.int16)
    path = tmp_path / "every.wav"
    soundfile.write(path, np.stack([every, every[::-1]], axis=1), RATE)
    expected, _ = soundfile.read(path, dtype="float32")
    np.testing.assert_array_equal(decode_audio(path, window_s=10.0), expected.mean(axis=1))
    soundfile.write(path, every, RATE)
    expected, _ = soundfile.read(path, dtype="float32")
    np.testing.assert_array_equal(decode_audio(path, window_s=10.0), expected)


@pytest.mark.parametrize(
    ("samples", "shade", "flags"),
    [
        (noise(level=5e-4, seed=21), None, {Flag.NEAR_SILENT}),
        (noise(level=2e-3, seed=22), None, set()),
        (clipped(0.02), None, {Flag.CLIPPED}),
        (clipped(0.005), None, set()),
        (noise(seed=23), 30, {Flag.FLAT_IMAGE}),
        (noise(level=5e-4, seed=24), 30, {Flag.NEAR_SILENT, Flag.FLAT_IMAGE}),
    ],
)
def test_the_doubtful_is_kept_and_flagged(tmp_path, samples, shade, flags):
    """Catches: a rule that is off by a digit, or that throws away what it should only remark on."""
    (tmp_path / "m/rain").mkdir(parents=True)
    write(tmp_path / "m/rain/a.wav", samples, subtype="FLOAT")
    shown = picture() if shade is None else Image.new("RGB", (64, 48), (shade,) * 3)
    shown.save(tmp_path / "m/rain/a.jpg")
    (item,) = build_manifest(tmp_path / "m", max_excluded_share=0).items
    assert set(item.flags) == flags
    for flag in flags:
        assert len(flag_sentence(item, flag)) > 20
        assert flag in MEANINGS


def test_a_copy_is_flagged_and_names_the_first(tmp_path):
    """Catches: re-coded sounds and re-saved pictures that go unnoticed, or that move a split."""
    root = tmp_path / "m"
    (root / "rain").mkdir(parents=True)
    for index in range(3):
        write(root / f"rain/{index}.wav", noise(3, seed=index))
        picture(index).save(root / f"rain/{index}.jpg")
    write(root / "rain/copy.mp3", noise(3, seed=1) * 0.5)
    picture(2).resize((320, 240)).save(root / "rain/copy.png")
    items = {item.id: item for item in build_manifest(root, max_excluded_share=0).items}
    first, copy = items["rain.1"], items["rain.copy"]
    assert first.near_duplicate_audio_of is None
    assert copy.near_duplicate_audio_of == "rain.1"
    assert items["rain.2"].near_duplicate_image_of is None
    assert copy.near_duplicate_image_of == "rain.2"
    assert set(copy.flags) == {Flag.NEAR_DUPLICATE_AUDIO, Flag.NEAR_DUPLICATE_IMAGE}
    assert not first.flags
    assert "'rain.1'" in flag_sentence(copy, Flag.NEAR_DUPLICATE_AUDIO)
    assert len({item.group for item in items.values()}) == 4  # remarked on, not grouped
