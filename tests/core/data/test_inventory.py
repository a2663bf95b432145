"""The user's own folder, file by file: what cleaning must find in it."""

import hashlib
import importlib.util
import json
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
import soundfile
from PIL import Image

from core.data.cleaning.clean import build_manifest
from core.data.cleaning.journal import JOURNAL_FILE
from core.data.items import Item, Reason, Status
from core.data.manifest import Manifest
from core.data.media import decode_audio

NUM_FILES = 4_109
CLASS_COUNTS = {
    "dog_barking": 44,
    "engine": 416,
    "fire": 188,
    "helicopter": 94,
    "ocean_waves": 27,
    "rain": 397,
    "siren": 283,
    "thunder": 100,
}
LIST_FILES = {f"{part}_metadata{kind}.json" for part in ("train", "val", "test")
              for kind in ("", "_balanced")}  # fmt: skip


def load_corpus() -> ModuleType:
    path = Path(__file__).with_name("inventory_corpus.py")
    spec = importlib.util.spec_from_file_location("inventory_corpus", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Cleaned:
    """The folder, what cleaning made of it, and what was seen meanwhile."""

    root: Path
    manifest: Manifest
    scale: int
    sizes: dict[str, int | None]
    before: dict[str, tuple[str, int, int]]
    after: dict[str, tuple[str, int, int]]
    decoded: Counter[Path]
    progress: list[tuple[int, int]]
    journal: Path

    def items(self, reason: Reason | None) -> list[Item]:
        return [item for item in self.manifest.items if item.reason is reason]

    def files_of(self, items: list[Item]) -> list[str]:
        """Files of the items; the id of a loose file is its path."""
        pairs = [[path for path in (i.audio_path, i.image_path) if path] or [i.id] for i in items]
        return [path for paths in pairs for path in paths]


def state(root: Path) -> dict[str, tuple[str, int, int]]:
    """Hash, mode and time of change of every file."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_file():
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            stat = path.stat()
            found[path.relative_to(root).as_posix()] = (digest, stat.st_mode, stat.st_mtime_ns)
    return found


@pytest.fixture(
    scope="module",
    params=[10, pytest.param(1, marks=pytest.mark.slow)],
    ids=["tenth_rate", "true_bytes"],
)
def cleaned(request, tmp_path_factory, real_metadata):
    """The whole inventory, cleaned once; removed again, for pytest keeps its folders."""
    corpus = load_corpus()
    root = tmp_path_factory.mktemp("clap2diffusion") / "media"
    entries = corpus.read_inventory(real_metadata.folder / "inventory.csv.gz")
    corpus.write_inventory(root, entries=entries, scale=request.param)
    real_metadata.write(root, sorted(LIST_FILES))
    decoded: Counter[Path] = Counter()
    progress: list[tuple[int, int]] = []
    before = state(root)
    with pytest.MonkeyPatch.context() as patch:
        open_sound, open_picture = decode_audio.Sound, Image.open

        def counted_sound(path, *args, **options):
            decoded[Path(path)] += 1
            return open_sound(path, *args, **options)

        def counted_picture(file, *args, **options):
            decoded[Path(file.name)] += 1
            return open_picture(file, *args, **options)

        patch.setattr(decode_audio, "Sound", counted_sound)
        patch.setattr(Image, "open", counted_picture)
        manifest = build_manifest(
            root,
            max_excluded_share=0.5,
            journal=root.parent / JOURNAL_FILE,
            progress=lambda *pair: progress.append(pair),
        )
    yield Cleaned(
        root,
        manifest,
        request.param,
        {entry.path: entry.num_bytes for entry in entries},
        before,
        state(root),
        decoded,
        progress,
        root.parent / JOURNAL_FILE,
    )
    shutil.rmtree(root)


def test_the_corpus_is_the_inventory(cleaned):
    """Catches: a test corpus that lacks files, or whose files have other sizes."""
    assert set(cleaned.before) - LIST_FILES == set(cleaned.sizes)
    assert len(cleaned.sizes) == NUM_FILES
    for path, num_bytes in cleaned.sizes.items():
        size = (cleaned.root / path).stat().st_size
        if num_bytes is None:
            assert size > 0
        elif path.endswith(".wav"):
            assert size == 78 + (num_bytes - 78) // 2 // cleaned.scale * 2
        else:
            assert size == num_bytes


def test_exactly_the_clean_pairs_are_kept(cleaned, real_metadata):
    """Catches: a clean pair lost, or a broken one kept."""
    rows = real_metadata.rows(real_metadata.unbalanced)
    assert len(rows) == 1_549
    kept = {sample.id: sample.class_name for sample in cleaned.manifest.samples}
    assert kept == {row["video_id"]: row["class"] for row in rows}
    assert cleaned.manifest.class_counts() == CLASS_COUNTS


def test_exactly_the_corrupted_clips_are_reported_as_corrupted(cleaned):
    """Catches: the header-only clips called merely unlisted, or a lone header called a clip."""
    expected = {path for path in cleaned.sizes if path.startswith("backup_corrupted/audio/")}
    assert len(expected) == 54
    empty = cleaned.items(Reason.EMPTY_AUDIO)
    assert {item.audio_path for item in empty} == expected
    assert all(item.detail == empty[0].detail for item in empty)
    assert "78 bytes and not one sample" in str(empty[0].detail)


def test_every_other_file_is_out_and_says_why(cleaned):
    """Catches: a file that is in no row, in two rows, or out without a reason."""
    manifest = cleaned.manifest
    files = Counter(cleaned.files_of(list(manifest.items)))
    assert set(files) == set(cleaned.sizes)
    assert set(files.values()) == {1}
    listed = {sample.id for sample in manifest.samples}
    assert all(Path(str(i.audio_path)).stem in listed for i in cleaned.items(Reason.NOT_LISTED))
    assert manifest.num_input == 1_549 + 54 + 903 == len(manifest.items)
    assert not manifest.candidates
    assert all(item.reason and item.detail for item in manifest.exclusions)
    endings = {
        reason.value: Counter(Path(path).suffix for path in cleaned.files_of(cleaned.items(reason)))
        for reason in manifest.reason_counts()
    }
    assert endings == {
        "empty_audio": {".wav": 54, ".jpg": 54},
        "missing_image": {".wav": 862},
        "not_listed": {".wav": 1},  # a second sound of a clip that is listed and has its picture
        "missing_audio": {".jpg": 1},
        "unsupported_format": {".m4a": 10},
        "leftover": {".webm": 23, ".m4a": 3, ".part": 2, ".ytdl": 1},
    }


def test_nothing_of_the_users_was_touched(cleaned):
    """Catches: a file moved, rewritten, re-timed or added in the user's folder."""
    assert cleaned.after == cleaned.before


def test_every_file_of_a_pair_is_decoded_once(cleaned):
    """Catches: a second decode for the hash, the flags or the fingerprint."""
    pairs = [i for i in cleaned.manifest.items if i.audio_path and i.image_path]
    assert len(pairs) == 1_603
    expected = Counter(
        cleaned.root / path
        for path in cleaned.files_of(pairs)
        if not path.startswith("backup_corrupted/audio/")  # refused by their header
    )
    assert cleaned.decoded == expected
    assert cleaned.progress == [(k, 1_603) for k in range(1, 1_604)]


def test_shared_bytes_are_found_and_nothing_else_looks_alike(cleaned):
    """Catches: the two clips with another's sound missed, or different clips called copies."""
    corpus = load_corpus()
    duplicates = {i.id: i.duplicate_of for i in cleaned.manifest.items if i.duplicate_of}
    assert duplicates == {copy: id_ for id_, copy in corpus.SHARED_AUDIO}
    by_id = {sample.id: sample for sample in cleaned.manifest.samples}
    for id_, copy in corpus.SHARED_AUDIO:
        assert by_id[id_].source == by_id[copy].source == id_
    assert len({sample.source for sample in by_id.values()}) == 1_547
    flagged = [item for item in cleaned.manifest.items if item.near_duplicate_audio_of]
    assert not flagged


def test_the_journal_spares_the_second_cleaning_every_decode(cleaned, monkeypatch):
    """Catches: a cleaning that starts anew each time, or a result that the journal changes."""
    monkeypatch.setattr(soundfile, "SoundFile", lambda *_: pytest.fail("a sound was decoded"))
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("a picture was decoded"))
    again = build_manifest(cleaned.root, max_excluded_share=0.5, journal=cleaned.journal)
    assert again.items == cleaned.manifest.items
    assert again.cleaning["num_files_decoded"] == 0
    first = json.loads(cleaned.journal.read_text().splitlines()[0])
    assert set(first) == {"key", "outcome"}


def test_kept_pairs_are_measured(cleaned):
    """Catches: levels, sizes and durations that are not those of the files."""
    for item in cleaned.manifest.items:
        if item.status is Status.INCLUDED:
            num_bytes = cleaned.sizes[str(item.audio_path)]
            seconds = (num_bytes - 78) / 2 / 48_000
            assert item.duration_s == pytest.approx(seconds, abs=1e-3)
            assert item.sample_rate_hz == 48_000 // cleaned.scale
            assert item.num_channels == 1
            assert item.image_bytes == cleaned.sizes[str(item.image_path)]
            assert (item.image_width, item.image_height) == (48, 40)
            # Uniform noise of +-6,000 of 32,768: 20 log10(6,000 / 32,768 / sqrt(3)) dB.
            assert item.rms_dbfs == pytest.approx(-19.5, abs=0.2)
            assert item.peak_dbfs == pytest.approx(-14.7, abs=0.2)
            assert item.clipped_share == 0
