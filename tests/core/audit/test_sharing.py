"""What two lists share, by id, by content, by source; and labels that contradict each other."""

from core.audit.finding import Kind
from core.audit.label_rules import check_conflicts
from core.audit.listing import Clip, Listing, listings_of_split, read_target
from core.audit.sharing import SharedBy, find_sharing
from core.data.splits.make import make_split
from core.data.splits.split import Part


def clip(id_, *, source=None, audio=None, image=None, class_name="rain"):
    return Clip(
        id_,
        class_name,
        source or id_,
        audio_sha256=audio or f"a-{id_}",
        image_sha256=image or f"i-{id_}",
    )


def test_a_clip_is_counted_once_by_the_strongest_tie():
    """Catches: bytes under another name passing, or one clip reported three times."""
    train = Listing("a train", Part.TRAIN, (clip("x"), clip("y"), clip("z"), clip("w")), family="a")
    test = Listing(
        "b test",
        Part.TEST,
        (
            clip("x", source="other"),
            clip("copy", audio="a-y"),
            clip("same picture", image="i-y"),
            clip("cut", source="z"),
            clip("new"),
        ),
        family="b",
    )
    found = {sharing.shared_by: sharing for sharing in find_sharing([train, test])}
    assert found[SharedBy.ID].ids == ("x",)
    assert found[SharedBy.CONTENT].ids == ("copy", "same picture")
    assert found[SharedBy.SOURCE].ids == ("cut",)
    assert {s.first for s in found.values()} == {"b test"}
    assert all(s.is_leak and s.num_first == 5 and s.num_second == 4 for s in found.values())
    assert find_sharing([test, Listing("c", Part.TRAIN, (clip("q"),), family="c")]) == ()


def test_two_locks_of_one_folder_are_compared(manifest_of, tmp_path):
    """Catches: a test clip of one split training in another, with nobody comparing the locks."""
    manifest = manifest_of({"rain": 20, "fire": 20})
    for seed in (0, 1):
        make_split(manifest, seed=seed).save(tmp_path / f"seed{seed}.json")
    targets = [read_target(tmp_path / f"seed{seed}.json") for seed in (0, 1)]
    listings = [listing for target in targets for listing in target.listings]
    leaks = [sharing for sharing in find_sharing(listings) if sharing.is_leak]
    assert leaks
    for leak in leaks:
        assert {leak.first.split()[0], leak.second.split()[0]} == {"seed0.json", "seed1.json"}
    same = listings_of_split(make_split(manifest, seed=0), tmp_path / "seed0.json")
    assert find_sharing(same) == ()


def test_one_sound_under_two_classes_is_reported():
    """Catches: the same recording teaching two classes."""
    listing = Listing(
        "folder",
        None,
        (clip("a", audio="same"), clip("b", audio="same", class_name="siren"), clip("c")),
        family="folder",
    )
    (finding,) = check_conflicts([listing])
    assert finding.kind is Kind.CONFLICTING_CLASSES
    assert finding.ids == ("a", "b")
    assert "the same sound is rain and siren" in finding.sentence
