"""Sets with free captions: rows of samples under other names, and captions by a clip's name."""

import json

import pytest

from core.data.ingest import paired_folders
from core.data.ingest.folder import scan_folder
from core.data.ingest.source import Options, Place
from core.errors import DataError


@pytest.fixture
def flat(tmp_path, pair):
    """Three pairs in folders of their own kind, without a class."""
    root = tmp_path / "media"
    for index in range(3):
        pair(root / "audio" / f"a{index}", root / "frames" / f"a{index}")
    return root


def of_one_class(root):
    return paired_folders.KIND.read(Place(root), Options(class_name="audiocaps"))


def test_captions_by_name_reach_their_pairs_and_what_they_miss_is_said(flat):
    """Catches: a `captions.json` that is ignored, so that every caption names the class alone."""
    content = {"a0": "rain on a tin roof", "a1.wav": ["a dog barks", "barking"], "b7": "nobody"}
    (flat / "captions.json").write_text(json.dumps(content))
    (flat / "frames" / "a9.jpg").write_bytes(next((flat / "frames").iterdir()).read_bytes())
    scan = of_one_class(flat)
    items = {item.id: item for item in scan.items}
    assert items["a0"].caption == "rain on a tin roof"
    assert items["a1"].caption == "a dog barks"
    assert items["a2"].caption == "A scene with audiocaps sound"
    said = " ".join(scan.manifest().notices)
    assert "1 further captions of a clip are not read; the first counts" in said
    assert (
        "1 of 3 captions in captions.json name no pair and are not read, such as that of 'b7'"
        in said
    )
    assert (
        "1 pairs have no caption; theirs is made from the class" in said
    )  # and the loose picture is none


@pytest.mark.parametrize("content", ["{", '{"a0": 3}', '{"a0": [1]}', "3"])
def test_a_malformed_map_of_captions_is_a_sentence(flat, content):
    """Catches: a traceback for somebody's file."""
    (flat / "captions.json").write_text(content)
    with pytest.raises(DataError, match=r"captions\.json"):
        of_one_class(flat)


def audiocaps_row(index, **changes):
    paths = {"audio_path": f"audio/a{index}.wav", "frame_path": f"frames/a{index}.png"}
    row = {"id": f"a{index}", **paths, "caption": f"sound {index}", "category": ["rain"]}
    return {**row, "split": ("train", "validation", "test")[index], **changes}


@pytest.mark.parametrize("name", ["metadata_validated.json", "metadata.json", "my_metadata.json"])
@pytest.mark.parametrize("is_bare", [True, False])
def test_rows_of_samples_by_other_names_are_read_with_their_split(flat, name, is_bare):
    """Catches: the layout of a larger set refused for the names of its fields and its frame."""
    rows = [audiocaps_row(index) for index in range(3)]
    (flat / name).write_text(json.dumps(rows if is_bare else {"version": 2, "samples": rows}))
    scan = scan_folder(flat)
    found = [(i.id, i.class_name, i.caption, i.official_split) for i in scan.candidates]
    assert found == [
        ("a0", "rain", "sound 0", "train"),
        ("a1", "rain", "sound 1", "val"),
        ("a2", "rain", "sound 2", "test"),
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"category": ["rain", 3]}, "field 'category' is the number 3; expected text"),
        ({"labels": [{"audible": True}]}, "an entry of 'labels' has audible; expected 'label'"),
        (
            {"labels": [{"label": "rain", "audible": "yes"}]},
            "'audible' is text; expected true or false",
        ),
        ({"category": {"rain": 1}}, "field 'category' is an object; expected text"),
        ({"caption": []}, "field 'caption' is an empty list; expected text"),
        ({"split": "holdout"}, "field 'split' is 'holdout'; expected train, val or test"),
        ({"split": 3}, "field 'split' is 3; expected train, val or test"),
        ({"caption": 3}, "field 'caption' is the number 3; expected text"),
    ],
)
def test_a_row_that_cannot_be_read_as_it_is_meant_is_refused(flat, changes, said):
    """Catches: one of several labels taken without a word, and a part that nobody knows."""
    rows = [audiocaps_row(0), audiocaps_row(1, **changes)]
    (flat / "metadata_validated.json").write_text(json.dumps({"samples": rows}))
    with pytest.raises(DataError, match=r"metadata_validated\.json, row 2") as refused:
        scan_folder(flat)
    assert said in str(refused.value)
