"""What the feature cache holds, and what may be taken from it."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.data.splits.make import make_split
from core.features import store as feature_store
from core.features.folders import Why, cache_folders, needed_contents, plan_prune, remove
from core.features.index import SILENCE, caption_key
from core.features.store import FeatureStore


def rows(keys):
    return {"a": torch.tensor([[float(len(key))] for key in keys])}


@pytest.fixture
def fill(tmp_path, monkeypatch):
    monkeypatch.setattr(feature_store, "_SHARD_ROWS", 2)

    def run(kind, keys, *, age_s=0.0, **settings):
        store = FeatureStore(cache_dir=tmp_path, kind=kind, settings=settings)
        store.fill(keys, compute=rows)
        stamp = time.time() - age_s
        os.utime(store.folder / "settings.json", (stamp, stamp))
        return store

    return run


def test_every_folder_is_counted_with_its_settings_and_age(fill, tmp_path):
    """Catches: a size that leaves files out, or strangers' folders counted in."""
    fill("latents", ["a", "b", "c"], size=64, age_s=5000)
    fill("text", ["t"])
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "photo.safetensors").write_bytes(b"mine")
    first, second = cache_folders(tmp_path)
    assert (first.kind, first.num_rows, len(first.shards)) == ("latents", 3, 2)
    assert first.settings == {"size": 64}
    assert (second.kind, second.num_rows) == ("text", 1)
    on_disk = [p.stat().st_size for p in first.path.iterdir() if p.name[0] not in ".s"]
    assert first.size_bytes == sum(on_disk)
    assert 4990 < time.time() - first.last_used < 5100
    fill("latents", ["a"], size=64)
    assert time.time() - cache_folders(tmp_path)[0].last_used < 60


def test_only_rows_that_no_split_holds_are_unused(fill, tmp_path, manifest_of):
    """Catches: rows of a split in use taken, crops or silence forgotten, or nothing ever taken."""
    split = make_split(manifest_of({"rain": 4}))
    needed = needed_contents([split])
    sound = split.samples[split.train[0]].audio_sha256
    picture = split.samples[split.test[0]].image_sha256
    assert caption_key("A scene with rain sound") in needed
    clap = fill("clap", [SILENCE, "gone", f"{sound}@2500", "gone2", "gone3", "gone4"])
    gone = fill("log_mel", ["gone", SILENCE])
    latents = fill("latents", [picture, "gone"])
    planned = {r.folder.kind: r for r in plan_prune(cache_folders(tmp_path), needed=needed)}
    assert set(planned) == {"clap", "log_mel"}
    taken = {key for shard in planned["clap"].shards for key in shard.keys}
    assert taken == {SILENCE, "gone", "gone3", "gone4"}
    assert all(removal.why is Why.UNUSED for removal in planned.values())
    assert all(remove(removal) for removal in planned.values())
    assert [f.kind for f in cache_folders(tmp_path)] in (["clap", "latents"], ["latents", "clap"])
    table = clap.fill([f"{sound}@2500"], compute=rows)
    assert table.num_computed == 0
    assert latents.fill([picture], compute=rows).num_computed == 0
    assert gone.fill(["gone"], compute=rows).num_computed == 1


def test_age_and_size_take_the_least_recently_used(fill, tmp_path):
    """Catches: the newest rows taken, or more than needed to fit."""
    for days in (1, 2, 3):
        fill("latents", ["a", "b"], size=days, age_s=days * 86_400)
    folders = cache_folders(tmp_path)
    old = plan_prune(folders, older_than_s=2.5 * 86_400)
    assert [(r.folder.settings["size"], r.why) for r in old] == [(3, Why.OLD)]
    one = max(folder.size_bytes for folder in folders)
    smaller = plan_prune(folders, max_bytes=2 * one)
    assert [(r.folder.settings["size"], r.why) for r in smaller] == [(3, Why.TOO_MUCH)]
    nothing = plan_prune(folders, max_bytes=0)
    assert {removal.folder.settings["size"] for removal in nothing} == {1, 2, 3}
    assert plan_prune(folders) == ()
    assert len(cache_folders(tmp_path)) == 3  # a plan deletes nothing


HOLDER = """
import sys, time
from pathlib import Path
import torch
from core.features.store import FeatureStore

def slow(keys):
    Path(sys.argv[2]).touch()
    while Path(sys.argv[2]).exists():
        time.sleep(0.02)
    return {"a": torch.ones(len(keys), 1)}

FeatureStore(cache_dir=Path(sys.argv[1]), kind="kind", settings={}).fill(["x", "new"], compute=slow)
"""


def test_a_folder_that_a_process_fills_is_left_alone(tmp_path):
    """Catches: rows deleted under a process that has just decided not to compute them."""
    cache, flag = tmp_path / "cache", tmp_path / "computing"
    store = FeatureStore(cache_dir=cache, kind="kind", settings={})
    store.fill(["x"], compute=rows)
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(cache), str(flag)], cwd=Path(__file__).parents[3]
    )
    try:
        deadline = time.monotonic() + 120
        while not flag.exists():
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        (removal,) = plan_prune(cache_folders(cache), needed=frozenset())
        assert remove(removal) is False
        flag.unlink()
        assert child.wait(60) == 0
    finally:
        child.kill()
    assert store.fill(["x", "new"], compute=rows).num_computed == 0


def test_a_reader_goes_on_reading_rows_that_were_taken(tmp_path):
    """Catches: a run that dies because its cache was pruned beside it."""
    store = FeatureStore(cache_dir=tmp_path, kind="kind", settings={})
    table = store.fill(["x", "yy"], compute=rows)
    (removal,) = plan_prune(cache_folders(tmp_path), needed=frozenset())
    assert remove(removal)
    assert cache_folders(tmp_path) == ()
    assert table.rows(["yy", "x"], name="a").tolist() == [[2.0], [1.0]]


def test_a_shard_with_a_damaged_index_is_unused(fill, tmp_path):
    """Catches: files that no fill would ever trust, kept for ever."""
    fill("latents", ["a"])
    (folder,) = cache_folders(tmp_path)
    folder.shards[0].path.with_suffix(".json").write_text("{")
    (folder,) = cache_folders(tmp_path)
    assert folder.num_rows == 0
    (removal,) = plan_prune([folder], needed=frozenset({"a"}))
    assert removal.shards == folder.shards
    assert replace(removal, shards=()).size_bytes == 0
