"""Data with one class a clip keep the manifest, the split and the lock they always had."""

import hashlib
import json

import pytest
from pyarrow import parquet

from core.data.cleaning.clean import clean_manifest
from core.data.ingest.ingest import ingest
from core.data.ingest.source import Options
from core.data.manifest import MANIFEST_FILE, Manifest
from core.data.splits.make import make_split
from core.data.splits.split import load_split
from core.data.splits.weights import class_weights

INGESTED = {
    "folders": "cfebaafc29efafb70249bafcf1e8ef82b6ef16132b21b0faccd2ba2d32794780",
    "rows": "f3fd80c51fd7a6c1854c3902bba271bf8f8971ca0d42ebb4f09f2b7a6731d779",
}
SPLIT = "878aeb8cb2badf57174a04a4018f3742b6aac7b5f52279f9e85e534b0cfd6730"
LOCK = "233a5626e7731b02743133d539f4a1f19dfbe8ea7d478d3701054cc572602316"


@pytest.fixture
def class_folders(tmp_path, write_wav, write_png):
    root = tmp_path / "media"
    for number, name in enumerate(("dog", "rain", "dog", "rain", "dog", "rain", "rain", "dog")):
        stem = root / name / f"clip{number}"
        write_wav(stem.with_suffix(".wav"), seed=number, duration_s=0.6, rate=16_000)
        write_png(stem.with_suffix(".bmp"), seed=number)
    (root / "dog" / "clip0.txt").write_text("a dog barks twice")
    (root / "rain" / "loose.wav").write_bytes(b"RIFF")
    return root


def checksum(folder):
    return parquet.read_metadata(folder / MANIFEST_FILE).metadata[b"harness_checksum"].decode()


def test_a_folder_of_classes_gives_the_manifest_it_always_gave(class_folders, tmp_path):
    """Catches: a column, a header or an id that changes for data that have one class a clip."""
    ingest([class_folders], tmp_path / "set", options=Options())
    assert checksum(tmp_path / "set") == INGESTED["folders"]


def test_rows_with_one_class_give_the_manifest_they_always_gave(class_folders, tmp_path):
    """Catches: the same for lists of rows."""
    rows = [
        {
            "id": path.stem,
            "audio_path": path.relative_to(class_folders).as_posix(),
            "frame_path": path.relative_to(class_folders).with_suffix(".bmp").as_posix(),
            "category": [path.parent.name],
            "caption": f"sound of {path.parent.name}",
            "split": "train",
        }
        for path in sorted(class_folders.glob("*/clip*.wav"))
    ]
    (class_folders / "metadata.json").write_text(json.dumps({"samples": rows}))
    ingest([class_folders], tmp_path / "set", options=Options())
    assert checksum(tmp_path / "set") == INGESTED["rows"]


def test_a_folder_of_classes_gives_the_split_and_the_lock_it_always_gave(class_folders, tmp_path):
    """Catches: a draw, a hash or a byte of the lock that changes for data that have classes."""
    ingest([class_folders], tmp_path / "set", options=Options())
    manifest = clean_manifest(Manifest.load(tmp_path / "set"))
    split = make_split(manifest, cap=100, seed=0)
    assert split.hash == SPLIT
    lock = tmp_path / "lock.json"
    split.save(lock, facts={"class_weights": class_weights(split).data()})
    assert hashlib.sha256(lock.read_bytes()).hexdigest() == LOCK
    assert load_split(lock).hash == SPLIT
