"""A finished run's record holds the hashes of its files, and of itself."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from core.errors import DataError, HarnessError, MismatchError
from harness.comparison.runs import load_run
from harness.records.record import load_record
from harness.records.unaltered import require_unaltered


@pytest.fixture
def copy(finished: Any, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished.folder, tmp_path / finished.folder.name))


def test_a_finished_run_is_as_it_was_written(finished: Any, copy: Path) -> None:
    """Catches: a hash that fits no file, or a record that is not what the run returned."""
    record = load_record(copy)
    assert record == finished.record
    names = set(record.files)
    assert {"weights.safetensors", "per_clip.csv", "events.jsonl"} <= names
    assert sum(name.startswith("images/") for name in names) > 2
    require_unaltered(record, copy, with_weights=True)
    assert len(load_run(copy).per_clip) > 0


@pytest.mark.parametrize(
    "name",
    ["weights.safetensors", "per_clip.csv", "nearest_training.csv", "events.jsonl", "images"],
)
def test_an_altered_file_is_named(copy: Path, name: str) -> None:
    """Catches: images swapped, weights overwritten, values rotated between clips, and believed."""
    path = copy / name if name != "images" else next((copy / "images").rglob("*.png"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(MismatchError, match=f"{path.name} is not as the run"):
        require_unaltered(load_record(copy), copy, with_weights=True)
    if name != "weights.safetensors":
        with pytest.raises(HarnessError, match=path.name):
            _ = load_run(copy).per_clip


def test_an_edited_record_is_refused_and_an_old_one_is_read(copy: Path) -> None:
    """Catches: a metric raised by 40 or the guards taken out by hand, and believed."""
    path = copy / "record.json"
    body = json.loads(path.read_text())
    path.write_text(json.dumps(body))  # another layout of the same values
    load_record(path)
    path.write_text(json.dumps({**body, "guards_passed": []}))
    with pytest.raises(DataError, match="was edited after the run"):
        load_record(path)
    old = {key: value for key, value in body.items() if key not in ("files", "checksum")}
    path.write_text(json.dumps(old))
    assert load_record(path).files == {}
