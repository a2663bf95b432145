"""The locked split: balanced, grouped, repeatable, and proof against edits."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path

import pytest

from core.data.cleaning.clean import build_manifest
from core.data.splits.make import make_split
from core.data.splits.split import Method, Official, Part, Split, SplitRule, load_split, verify
from core.errors import DataError, MismatchError, UsageError

ALL_COUNTS = {
    "engine": 416, "rain": 397, "siren": 283, "fire": 188,
    "thunder": 100, "helicopter": 94, "dog_barking": 44, "ocean_waves": 27,
}  # fmt: skip
BALANCED = {
    "engine": 100, "fire": 100, "rain": 100, "siren": 100,
    "thunder": 99, "helicopter": 94, "dog_barking": 44, "ocean_waves": 27,
}  # fmt: skip


def sizes(split):
    return [len(split.parts[part]) for part in Part]


def test_the_664_pairs_are_cut_into_531_66_67(manifest_of):
    """Catches: rounding each class by itself, which loses or gains clips in the totals."""
    split = make_split(manifest_of(BALANCED))
    assert sizes(split) == [531, 66, 67]
    for name, count in BALANCED.items():
        for part, fraction in zip(Part, (0.8, 0.1, 0.1), strict=True):
            assert abs(split.counts[name][part] - fraction * count) <= 1.0


def test_the_cap_draws_the_balanced_set_from_all_1549(manifest_of):
    """Catches: a cap per part, or one that touches the small classes."""
    split = make_split(manifest_of(ALL_COUNTS), cap=100)
    counts = Counter(sample.class_name for sample in split.samples.values())
    assert counts == {**BALANCED, "thunder": 100}
    assert split.notices == (
        "the cap of 100 clips a class leaves out 884 of 1549 pairs, 316 of them of engine",
    )
    assert make_split(manifest_of(BALANCED)).notices == ()


def test_the_users_664_pairs_keep_their_classes_and_their_sizes(real_metadata):
    """Catches: clips lost between the metadata and the lock, or a class far off its share."""
    manifest = real_metadata.manifest(real_metadata.balanced)
    split = make_split(manifest, cap=100, seed=0)
    assert {name: sum(row.values()) for name, row in split.counts.items()} == BALANCED
    assert sizes(split) == [531, 66, 67]
    for name, count in BALANCED.items():
        for part, fraction in zip(Part, (0.8, 0.1, 0.1), strict=True):
            assert abs(split.counts[name][part] - fraction * count) <= 1.0
    everything = make_split(real_metadata.manifest(real_metadata.unbalanced), cap=100)
    assert {n: sum(row.values()) for n, row in everything.counts.items()} == {
        **BALANCED,
        "thunder": 100,
    }


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("group_size", [1, 2, 3, 7])
def test_the_parts_are_a_partition_and_share_no_source(manifest_of, seed, group_size):
    """Catches: a clip in two parts or none, or a video that is trained and tested on."""
    manifest = manifest_of(BALANCED, group_size=group_size)
    split = make_split(manifest, seed=seed)
    ids = [id_ for part in Part for id_ in split.parts[part]]
    assert sorted(ids) == sorted(sample.id for sample in manifest.samples)
    sources = [{split.samples[id_].source for id_ in split.parts[part]} for part in Part]
    assert not (sources[0] & sources[1] | sources[0] & sources[2] | sources[1] & sources[2])
    for row in split.counts.values():
        assert min(row.values()) >= 1
    assert abs(len(split.train) - 531) <= 8 * group_size


def test_one_seed_gives_one_split_in_any_process_and_order(manifest_of):
    """Catches: a draw that depends on the order of files or on Python's hash seed."""
    manifest = manifest_of(BALANCED)
    expected = make_split(manifest, seed=3)
    assert make_split(replace(manifest, items=manifest.items[::-1]), seed=3) == expected
    assert make_split(manifest, seed=4).train != expected.train
    code = (
        "from pathlib import Path\n"
        "from core.data.items import Item, Status\n"
        "from core.data.manifest import Manifest\n"
        "from core.data.splits.make import make_split\n"
        "s = tuple(Item(f'{c}{k}', Status.INCLUDED, c, c, f'{c}{k}', audio_path='a',"
        " image_path='b', audio_sha256=f'a{c}{k}', image_sha256=f'i{c}{k}', duration_s=1.0)"
        " for c in 'xyz' for k in range(20))\n"
        "split_hash = make_split(Manifest(Path('/m'), s, 60)).hash\n"
    )
    here: dict[str, str] = {}
    exec(code, here)
    there = subprocess.run(
        [sys.executable, "-c", f"{code}print(split_hash)"],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        cwd=Path(__file__).parents[4],
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.strip() == here["split_hash"]


def test_seeds_move_clips_evenly(manifest_of):
    """Catches: a draw that always tests on the first ids."""
    manifest = manifest_of({"rain": 20, "fire": 20})
    tested = Counter(id_ for seed in range(60) for id_ in make_split(manifest, seed=seed).test)
    assert len(tested) == 40
    assert max(tested.values()) < 20


@pytest.mark.parametrize("count", [3, 4, 5, 9])
def test_a_small_class_is_in_every_part(manifest_of, count):
    """Catches: no validation clip of a class, as in the user's own split."""
    split = make_split(manifest_of({"rain": 100, "rare": count}))
    assert split.counts["rare"] == {Part.TRAIN: count - 2, Part.VAL: 1, Part.TEST: 1}


def test_a_class_of_few_large_sources_is_in_every_part(manifest_of):
    """Catches: the training part swallowing all three videos of a class."""
    split = make_split(manifest_of({"rain": 30}, group_size=10), seed=1)
    assert sizes(split) == [10, 10, 10]


@pytest.mark.parametrize("seed", range(10))
def test_one_large_source_does_not_upset_the_shares(manifest_of, seed):
    """Catches: a video of many clips arriving last, when only the test part has room."""
    manifest = manifest_of({"rain": 20})
    items = tuple(
        replace(item, source="long video") if index < 8 else item
        for index, item in enumerate(manifest.items)
    )
    assert sizes(make_split(replace(manifest, items=items), seed=seed)) == [16, 2, 2]


def test_a_class_with_too_few_sources_is_named(manifest_of):
    """Catches: a class that is never tested, or a message without a way out."""
    manifest = manifest_of({"rain": 50, "fire": 2, "siren": 1})
    with pytest.raises(
        DataError, match=r"'fire' \(2 sources, 2 samples\), 'siren' \(1 sources"
    ) as e:
        make_split(manifest)
    assert "'rain'" not in str(e.value)
    assert "at least 3 sources" in str(e.value)
    with pytest.raises(DataError, match=r"'rain' \(2 sources, 20 samples\)"):
        make_split(manifest_of({"rain": 20}, group_size=10))


def test_a_single_class_is_split_like_any_other(manifest_of):
    """Catches: a split that needs two classes to work."""
    assert sizes(make_split(manifest_of({"rain": 40}))) == [32, 4, 4]


def test_a_source_of_two_classes_stays_whole(manifest_of):
    """Catches: stratification tearing a video apart that carries two labels."""
    manifest = manifest_of({"rain": 20, "thunder": 20})
    items = tuple(replace(item, source=f"video{item.id[-3:]}") for item in manifest.items)
    split = make_split(replace(manifest, items=items))
    for part in Part:
        assert split.counts["rain"][part] == split.counts["thunder"][part] >= 1


def officially(manifest, *, test):
    """`manifest` with the ids that `test` accepts marked as the data set's own test clips."""
    items = tuple(
        replace(item, official_split="test" if test(item) else "train") for item in manifest.items
    )
    return replace(manifest, items=items)


@pytest.mark.parametrize("seed", range(3))
def test_official_test_clips_never_train_where_they_are_honoured(manifest_of, seed):
    """Catches: training on clips that others report their scores on."""
    plain = manifest_of(BALANCED, group_size=2)
    manifest = officially(plain, test=lambda item: int(item.id[-3:]) % 9 < 3)
    official = {s.source for s in manifest.samples if s.official_split == "test"}
    split = make_split(manifest, seed=seed, official=Official.HONOUR)
    for part, expected in ((Part.TRAIN, False), (Part.VAL, False), (Part.TEST, True)):
        assert {split.samples[id_].source in official for id_ in split.parts[part]} == {expected}
    assert sizes(split)[2] == 67
    assert all(min(row.values()) >= 1 for row in split.counts.values())
    assert max(sum(row.values()) for row in split.counts.values()) <= 100
    ignored = make_split(manifest, seed=seed)
    assert ignored.parts == make_split(plain, seed=seed).parts
    assert any("left out: they must not train" in notice for notice in split.notices)
    assert ["is not followed" in notice for notice in ignored.notices] == [True]


def test_a_class_short_of_official_test_clips_says_so(manifest_of):
    """Catches: a thin test part that nobody is told of, or a class that is silently untested."""
    manifest = manifest_of({"rain": 50, "fire": 50})
    few = officially(manifest, test=lambda i: i.id == "fire000" or i.id.startswith("rain00"))
    split = make_split(few, official=Official.HONOUR)
    assert split.counts["fire"] == {Part.TRAIN: 43, Part.VAL: 6, Part.TEST: 1}
    assert split.notices[0].startswith("fire: only 1 of 50 clips are tested on")
    none = officially(manifest, test=lambda item: item.id.startswith("rain00"))
    with pytest.raises(DataError, match=r"class 'fire' .* needs a clip of the official test part"):
        make_split(none, official=Official.HONOUR)
    with pytest.raises(UsageError, match="no clip is marked"):
        make_split(manifest, official=Official.HONOUR)


@pytest.mark.parametrize(
    "settings",
    [{"cap": 2}, {"fractions": (0.9, 0.1, 0.0)}, {"fractions": (0.8, 0.1, 0.2)}],
)
def test_impossible_settings_are_refused(manifest_of, settings):
    """Catches: a part that is empty by construction."""
    with pytest.raises(UsageError, match=next(iter(settings))):
        make_split(manifest_of({"rain": 30}), **settings)


def test_the_hash_sees_every_fact_and_not_the_place(manifest_of):
    """Catches: two different splits being compared, or equal ones refused on another machine."""
    split = make_split(manifest_of({"rain": 12, "fire": 12}))
    assert replace(split, root=Path("/elsewhere")).hash == split.hash
    id_ = split.train[0]
    moved = replace(split.samples[id_], audio_path="other/place.wav")
    assert replace(split, samples={**split.samples, id_: moved}).hash == split.hash
    changes = {
        "class_name": "siren",
        "caption": "another",
        "source": "another",
        "audio_sha256": "another",
        "image_sha256": "another",
        "attributes": {"pitch": 0.5},
    }
    for field, value in changes.items():
        changed = replace(split.samples[id_], **{field: value})
        assert replace(split, samples={**split.samples, id_: changed}).hash != split.hash
    rules = {
        "cap": 99,
        "seed": 1,
        "fractions": (0.7, 0.2, 0.1),
        "official": Official.HONOUR,
        "method": Method.IMPORTED,
        "groups": "words",
    }
    assert {field.name for field in fields(SplitRule)} == {*rules, "grouping"}
    for field, value in rules.items():
        assert replace(split, rule=replace(split.rule, **{field: value})).hash != split.hash
    swapped = {
        Part.TRAIN: split.train,
        Part.VAL: split.test,
        Part.TEST: split.val,
    }
    assert replace(split, parts=swapped).hash != split.hash


def test_sharing_between_parts_is_refused(manifest_of):
    """Catches: an imported split with one id, source or content in two parts."""
    split = make_split(manifest_of({"rain": 12}))
    train, test = split.samples[split.train[0]], split.samples[split.test[0]]
    for field in ("source", "audio_sha256", "image_sha256"):
        twin = replace(test, **{field: getattr(train, field)})
        with pytest.raises(DataError, match=f"'{train.id}' in train and '{test.id}' in test share"):
            replace(split, samples={**split.samples, test.id: twin})
    parts = {**split.parts, Part.TEST: (*split.test, train.id)}
    with pytest.raises(DataError, match=f"in two parts: \\['{train.id}'\\]"):
        replace(split, parts=parts)
    with pytest.raises(DataError, match=f"in no part: \\['{test.id}'\\]"):
        replace(split, parts={**split.parts, Part.TEST: split.test[1:]})


@pytest.fixture
def locked(write_listed, tmp_path):
    """A split of real files and its lock."""
    split = make_split(build_manifest(write_listed({"rain": 4, "fire": 4}), max_excluded_share=0))
    split.save(tmp_path / "lock.json")
    return split, tmp_path / "lock.json"


def test_a_saved_split_is_read_back(locked):
    """Catches: a field lost on disk, or a hash that depends on being loaded."""
    split, path = locked
    loaded = load_split(path)
    assert loaded == split
    assert loaded.hash == split.hash
    assert isinstance(loaded, Split)
    verify(loaded)


def test_a_lock_names_no_absolute_path_and_moves_with_its_media(locked, tmp_path):
    """Catches: a lock that only works on the machine that made it."""
    _, path = locked
    assert str(tmp_path) not in path.read_text()
    (tmp_path / "else").mkdir()
    for name in ("media", "lock.json"):
        shutil.move(tmp_path / name, tmp_path / "else" / name)
    verify(load_split(tmp_path / "else/lock.json"))
    shutil.move(tmp_path / "else/media", tmp_path / "third")
    verify(load_split(tmp_path / "else/lock.json", root=tmp_path / "third"))


def test_every_one_byte_edit_of_the_lock_is_found(locked):
    """Catches: a field, a count or a blank that no checksum covers."""
    _, path = locked
    content = path.read_bytes()
    for place in range(0, len(content), 7):
        edited = bytearray(content)
        edited[place] ^= 1
        path.write_bytes(edited)
        with pytest.raises((MismatchError, DataError)):
            load_split(path)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", '{"format": 1}', '{"format": 1, "x": 1e999}']
)
def test_what_is_no_lock_is_refused(tmp_path, text):
    """Catches: a traceback for another JSON file."""
    (tmp_path / "lock.json").write_text(text)
    with pytest.raises((MismatchError, DataError)):
        load_split(tmp_path / "lock.json")
    with pytest.raises(DataError, match="no lock file"):
        load_split(tmp_path / "none.json")


@pytest.mark.parametrize("kind", ["audio", "image"])
def test_a_one_byte_edit_of_a_media_file_is_named(locked, kind):
    """Catches: training on a file that is not the one that was locked."""
    split, path = locked
    id_ = sorted(split.samples)[3]
    media = split.root / getattr(split.samples[id_], f"{kind}_path")
    content = bytearray(media.read_bytes())
    content[len(content) // 2] ^= 1
    media.write_bytes(content)
    with pytest.raises(MismatchError, match=f"sample '{id_}': the {kind} file .* has changed"):
        verify(load_split(path))
    media.unlink()
    with pytest.raises(MismatchError, match=f"sample '{id_}': the {kind} file .* cannot be read"):
        verify(load_split(path))


def test_a_checksum_made_to_fit_still_meets_the_hash(locked):
    """Catches: an edit by a tool that also rewrites the outer checksum."""
    from core.data.splits.split import _lock_bytes

    _, path = locked
    body = json.loads(path.read_text())
    del body["checksum"]
    body["samples"][0]["caption"] = "another"
    path.write_bytes(_lock_bytes(body))
    with pytest.raises(MismatchError, match="names hash"):
        load_split(path)
