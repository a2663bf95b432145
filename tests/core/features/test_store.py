"""The cache of computed rows: verified, shared by processes, never trusted."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from core.errors import GuardError
from core.features import store as feature_store
from core.features.store import FeatureStore


class Encoder:
    """Counts its calls; a row is a function of its key alone."""

    def __init__(self):
        self.keys = []

    def __call__(self, keys):
        self.keys.extend(keys)
        rows = torch.tensor([[float(ord(key[0])), float(len(key))] for key in keys])
        return {"a": rows, "b": -rows}


def store(cache_dir, **settings):
    return FeatureStore(cache_dir=cache_dir, kind="kind", settings=settings, batch_size=2)


KEYS = ["x", "yy", "zzz", "wwww", "vvvvv"]


def shard_files(cache_dir):
    return sorted(cache_dir.rglob("*.safetensors"))


def test_rows_come_back_in_the_order_asked_for(tmp_path):
    """Catches: rows in the order of the file, or repeated keys computed twice."""
    encoder = Encoder()
    table = store(tmp_path).fill([*KEYS, "x"], compute=encoder)
    assert encoder.keys == KEYS
    got = table.rows(["zzz", "x", "zzz"], name="b")
    assert got.tolist() == [[-122.0, -3.0], [-120.0, -1.0], [-122.0, -3.0]]


def test_a_second_fill_computes_only_what_is_new(tmp_path):
    """Catches: a cache that is written and never read."""
    store(tmp_path).fill(KEYS[:3], compute=Encoder())
    encoder, counted = Encoder(), []
    table = store(tmp_path).fill(KEYS, compute=encoder, progress=lambda *one: counted.append(one))
    assert encoder.keys == KEYS[3:]
    assert (table.num_computed, table.notices) == (2, ())
    assert counted == [(3, False), (2, True)]
    assert table.rows(KEYS, name="a")[:, 1].tolist() == [1, 2, 3, 4, 5]


def test_other_settings_are_another_folder(tmp_path):
    """Catches: rows of another encoder or another crop being returned."""
    store(tmp_path, size=32).fill(KEYS, compute=Encoder())
    encoder = Encoder()
    store(tmp_path, size=64).fill(KEYS, compute=encoder)
    assert encoder.keys == KEYS
    settings = {json.loads(path.read_text())["size"] for path in tmp_path.rglob("settings.json")}
    assert settings == {32, 64}


def test_rows_are_written_in_shards(tmp_path, monkeypatch):
    """Catches: everything lost when the last row fails, or rows mixed up between shards."""
    monkeypatch.setattr(feature_store, "_SHARD_ROWS", 2)

    class Failing(Encoder):
        def __call__(self, keys):
            if "vvvvv" in keys:
                raise RuntimeError("out of memory")
            return super().__call__(keys)

    with pytest.raises(RuntimeError, match="out of memory"):
        store(tmp_path).fill(KEYS, compute=Failing())
    encoder = Encoder()
    table = store(tmp_path).fill(KEYS, compute=encoder)
    assert encoder.keys == ["vvvvv"]
    assert len(shard_files(tmp_path)) == 3
    assert table.rows(KEYS[::-1], name="a")[:, 1].tolist() == [5, 4, 3, 2, 1]


@pytest.mark.parametrize("suffix", ["safetensors", "json"])
def test_every_flipped_byte_is_found_and_the_shard_made_again(tmp_path, suffix):
    """Catches: a flipped payload bit, which safetensors loads without a word."""
    expected = store(tmp_path).fill(KEYS, compute=Encoder()).rows(KEYS, name="a").clone()
    (shard,) = shard_files(tmp_path)
    path = shard.with_suffix(f".{suffix}")
    content = path.read_bytes()
    for place in range(0, len(content), 5):
        damaged = bytearray(content)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        encoder = Encoder()
        table = store(tmp_path).fill(KEYS, compute=encoder)
        assert encoder.keys == KEYS
        assert len(table.notices) == 1
        assert torch.equal(table.rows(KEYS, name="a"), expected)
        assert path.read_bytes() == content


@pytest.mark.parametrize("damage", ["truncated", "missing", "emptied"])
def test_a_broken_shard_is_made_again_and_said_aloud(tmp_path, caplog, damage):
    """Catches: a traceback from the reader, or a silent repair."""
    store(tmp_path).fill(KEYS, compute=Encoder())
    (shard,) = shard_files(tmp_path)
    if damage == "missing":
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[:50] if damage == "truncated" else b"")
    encoder = Encoder()
    table = store(tmp_path).fill(KEYS, compute=encoder)
    assert encoder.keys == KEYS
    assert str(shard) in table.notices[0]
    assert "computed again" in caplog.text


def test_a_shard_without_an_index_is_no_shard(tmp_path):
    """Catches: trusting what a killed process left behind, or tripping over it."""
    store(tmp_path).fill(KEYS, compute=Encoder())
    (shard,) = shard_files(tmp_path)
    shard.with_suffix(".json").unlink()
    (shard.parent / ".tmp-half").write_bytes(b"half")
    encoder = Encoder()
    store(tmp_path).fill(KEYS, compute=encoder)
    assert encoder.keys == KEYS
    assert not list(tmp_path.rglob(".tmp-*"))


def test_a_row_that_is_not_finite_is_never_cached(tmp_path):
    """Catches: one NaN of a half-precision encoder poisoning every later run."""

    def broken(keys):
        rows = torch.ones(len(keys), 2)
        rows[[key == "zzz" for key in keys]] = float("nan")
        return {"a": rows}

    with pytest.raises(GuardError, match="'zzz' are not finite"):
        store(tmp_path).fill(KEYS, compute=broken)
    assert shard_files(tmp_path) == []


def test_a_row_too_few_is_an_error(tmp_path):
    """Catches: rows shifting against their keys."""
    with pytest.raises(ValueError, match="1 rows for 2 keys"):
        store(tmp_path).fill(KEYS, compute=lambda keys: {"a": torch.ones(1, 2)})


CHILD = """
import sys, time
from pathlib import Path
import torch
from core.features.store import FeatureStore

def slow(keys):
    time.sleep(0.3)
    with open(sys.argv[2], "a") as log:
        log.writelines(f"{key}\\n" for key in keys)
    return {"a": torch.tensor([[float(len(key))] for key in keys])}

keys = ["x", "yy", "zzz", "wwww", "vvvvv"]
store = FeatureStore(cache_dir=Path(sys.argv[1]), kind="kind", settings={}, batch_size=2)
table = store.fill(keys, compute=slow)
assert table.rows(keys, name="a").flatten().tolist() == [1, 2, 3, 4, 5]
"""


def test_two_processes_fill_one_cache_once(tmp_path):
    """Catches: two processes computing the same rows, or overwriting each other's index."""
    log = tmp_path / "log"
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path / "cache"), str(log)],
            cwd=Path(__file__).parents[3],
        )
        for _ in range(2)
    ]
    assert [child.wait(120) for child in children] == [0, 0]
    assert sorted(log.read_text().split()) == sorted(KEYS)
