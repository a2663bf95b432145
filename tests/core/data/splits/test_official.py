"""A data set's own list: whose clip is tested on, and what it is labelled."""

import pytest

from core.data.splits.make import make_split
from core.data.splits.official import mark_official, read_official_list, video_of
from core.data.splits.split import Official, Part
from core.errors import DataError

TWO_CUTS = "abcdefghijk"
LINES = f"""{TWO_CUTS},10,raining,train
{TWO_CUTS},50,thunder,test
-_345678901,3,"engine accelerating, revving, vroom",train
"""


@pytest.fixture
def official(tmp_path):
    (tmp_path / "vggsound.csv").write_text(LINES)
    return read_official_list(tmp_path / "vggsound.csv")


@pytest.mark.parametrize(
    "id_", ["-_345678901", "-_345678901_3", "-_345678901_000003", "Y-_345678901_3000_13000"]
)
def test_an_id_names_its_video_however_the_start_is_added(official, id_):
    """Catches: an official clip that goes unmarked because its file has another name."""
    assert video_of(id_) == "-_345678901"
    assert official.split_of(id_, source=id_) == "train"
    assert official.label_of(id_, source=id_) == "engine accelerating, revving, vroom"


def test_an_id_that_is_no_cut_of_a_video_is_left_whole():
    """Catches: two clips of a class folder taken for one video."""
    assert video_of("rain.clip_12") == "rain.clip_12"
    assert video_of("recording_2024_1") == "recording_2024_1"
    assert video_of(TWO_CUTS) == TWO_CUTS


def test_a_video_with_one_tested_cut_is_tested_on_whole(official):
    """Catches: training on the other half of a test clip's video."""
    for id_ in (TWO_CUTS, f"{TWO_CUTS}_10", f"{TWO_CUTS}_50"):
        assert official.split_of(id_, source=id_) == "test"
    assert official.label_of(f"{TWO_CUTS}_10", source=TWO_CUTS) == "raining"
    assert official.label_of(f"{TWO_CUTS}_50", source=TWO_CUTS) == "thunder"
    assert official.label_of(TWO_CUTS, source=TWO_CUTS) is None
    assert official.split_of("nobody", source="nobody") is None
    assert official.split_of("renamed", source=TWO_CUTS) == "test"


def test_the_users_clips_are_marked_and_kept_from_training(real_metadata, tmp_path):
    """Catches: a list that is read and changes nothing."""
    rows = real_metadata.rows(real_metadata.balanced)
    lines = [
        f"{row['video_id']},30,{row['class']},{'test' if k % 6 == 0 else 'train'}"
        for k, row in enumerate(rows)
    ]
    (tmp_path / "vggsound.csv").write_text("\n".join(lines))
    official = read_official_list(tmp_path / "vggsound.csv")
    manifest = mark_official(real_metadata.manifest(real_metadata.balanced), official)
    tested = {row["video_id"] for k, row in enumerate(rows) if k % 6 == 0}
    assert {s.id for s in manifest.samples if s.official_split == "test"} == tested
    split = make_split(manifest, official=Official.HONOUR)
    assert set(split.test) <= tested
    assert tested.isdisjoint(split.parts[Part.TRAIN])
    assert tested.isdisjoint(split.parts[Part.VAL])


def test_a_broken_row_is_named(tmp_path):
    """Catches: a list that is half read."""
    (tmp_path / "x.csv").write_text("abc,1,raining,train\nabd,2,raining,holiday\n")
    with pytest.raises(DataError, match=r"x\.csv, row 2: field 'split' is 'holiday'"):
        read_official_list(tmp_path / "x.csv")
