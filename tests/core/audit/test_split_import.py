"""A division of somebody else's, taken as it is and told what is wrong with it."""

from dataclasses import replace

import pytest

from core.audit.listing import Clip, Listing
from core.audit.split_import import import_split
from core.data.splits.split import Method, Part
from core.errors import DataError, UsageError


@pytest.fixture
def manifest(manifest_of):
    return manifest_of({"fire": 10, "rain": 10})


def listing(part, ids, *, class_of=lambda id_: id_[:4]):
    clips = tuple(Clip(id_, class_of(id_), id_) for id_ in ids)
    return Listing(f"{part.value}.json", part, clips, family="*.json")


def divided(manifest):
    ids = [sample.id for sample in manifest.samples]
    held_out = {Part.TEST: ids[:2] + ids[10:12], Part.VAL: ids[2:4] + ids[12:14]}
    train = [id_ for id_ in ids if not any(id_ in part for part in held_out.values())]
    return {Part.TRAIN: train, **held_out}


def test_the_division_is_taken_as_it_is(manifest):
    """Catches: an import that draws again, or pretends to a seed."""
    parts = divided(manifest)
    split = import_split(manifest, [listing(part, ids) for part, ids in parts.items()])
    assert {part: list(ids) for part, ids in split.parts.items()} == parts
    assert (split.rule.method, split.rule.seed, split.rule.cap) == (Method.IMPORTED, None, None)
    assert not any("left out" in notice for notice in split.notices)


def test_a_trained_clip_gives_way_to_its_twin_in_the_test_part(manifest):
    """Catches: the bytes of a test clip trained on under another id."""
    parts = divided(manifest)
    trained, tested = parts[Part.TRAIN][0], parts[Part.TEST][0]
    sound = next(s.audio_sha256 for s in manifest.samples if s.id == tested)
    items = tuple(
        replace(item, audio_sha256=sound) if item.id == trained else item for item in manifest.items
    )
    split = import_split(
        replace(manifest, items=items), [listing(part, ids) for part, ids in parts.items()]
    )
    assert tested in split.test
    assert trained not in split.samples
    assert any(
        n.startswith(f"{trained} is left out of train") and f"with {tested} of test" in n
        for n in split.notices
    )


def test_clips_without_sound_files_are_counted_and_other_classes_reported(manifest):
    """Catches: a smaller split than the user's, or another class, without a word."""
    parts = divided(manifest)
    parts[Part.TRAIN] = [*parts[Part.TRAIN], "gone1", "gone2"]
    listings = [listing(part, ids) for part, ids in parts.items()]
    listings[1] = listing(Part.TEST, parts[Part.TEST], class_of=lambda id_: "wind")
    split = import_split(manifest, listings)
    assert "train.json: 2 of 14 clips are left out: 2 not in the manifest" in split.notices
    assert any(
        n.startswith("test.json: 2 clips are listed as wind and are fire") for n in split.notices
    )


def test_what_cannot_be_a_split_is_refused(manifest):
    """Catches: two train files merged, an id in two parts, or an import of nothing."""
    parts = divided(manifest)
    listings = [listing(part, ids) for part, ids in parts.items()]
    with pytest.raises(UsageError, match="one for each of train, val and test"):
        import_split(manifest, [*listings, listings[0]])
    with pytest.raises(UsageError, match="no part"):
        import_split(manifest, [*listings[:2], replace(listings[2], part=None)])
    twice = listing(Part.VAL, [*parts[Part.VAL], parts[Part.TRAIN][0]])
    with pytest.raises(DataError, match="a clip belongs in one part"):
        import_split(manifest, [listings[0], listings[1], twice])
    strangers = [listing(part, [f"{part.value}{k}" for k in range(3)]) for part in Part]
    with pytest.raises(DataError, match="none of the ids"):
        import_split(manifest, strangers)
