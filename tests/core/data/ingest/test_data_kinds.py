"""Which kind the data are, from each form that people have them in."""

import json

import pytest

from core.data.cleaning.clean import clean_manifest, require_usable
from core.data.ingest.folder import scan_folder
from core.data.ingest.ingest import ingest
from core.data.ingest.source import Options
from core.data.items import DataKind, Reason, Status
from core.data.labels import LabelMap
from core.data.manifest import Manifest
from core.errors import DataError
from harness.report.terminal.data import ingested_data

AUDIOSET = """# Segments csv created Sun Mar  5 10:54:31 2017
# num_ytids=2, num_segs=2, num_unique_labels=3, num_positive_labels=3
# YTID, start_seconds, end_seconds, positive_labels
--PE3ZW7NJY, 30.000, 40.000, "/m/09x0r,/t/dd00088"
-0SdAVK79lg, 0.000, 10.000, "/m/0912c9"
"""
NAMES = """index,mid,display_name
0,/m/09x0r,Speech
1,/t/dd00088,"Gush, stream"
2,/m/0912c9,Rain
"""
VGGSOUNDER = """video_id,label,modality,background_music,static_image,voice_over
---g-f_I2yQ_000001,male singing,A,True,False,False
---g-f_I2yQ_000001,people crowd,AV,True,False,False
---g-f_I2yQ_000001,people marching,V,True,False,False
--PE3ZW7NJY_000030,car passing by,V,False,False,False
"""
AUDIOCAPS = """audiocap_id,youtube_id,start_time,caption
103549,7fmOlUlwoNg,20,Constant rattling noise and sharp vibrations
97151,6BJ455B1aAs,0,"A rocket flies by followed by a loud explosion, then fire"
103541,7fmOlUlwoNg,20,A machine rattles
"""


@pytest.fixture
def flat(tmp_path, write_wav, write_png):
    """Four pairs in folders of their own kind, without a class."""
    root = tmp_path / "media"
    for index in range(4):
        write_wav(root / "audio" / f"a{index}.wav", seed=index, duration_s=0.6)
        write_png(root / "frames" / f"a{index}.png", seed=index)
    return root


def of_rows(root, changes):
    rows = []
    for index, change in enumerate(changes):
        paths = {"audio_path": f"audio/a{index}.wav", "frame_path": f"frames/a{index}.png"}
        rows.append({"id": f"a{index}", **paths, "caption": f"sound {index}", **change})
    (root / "metadata.json").write_text(json.dumps({"samples": rows}))
    return scan_folder(root).manifest()


def media_of(tmp_path, write_wav, write_png, *stems):
    for seed, stem in enumerate(stems):
        write_wav(tmp_path / "media" / f"{stem}.wav", seed=seed)
        write_png(tmp_path / "media" / f"{stem}.png", seed=seed)
    return Options(media=tmp_path / "media")


def test_rows_without_a_class_are_captions_alone(flat):
    """Catches: free captions refused for want of a class, or a class made up for them."""
    several = {"caption": ["sound 1", "a second text", "sound 1"]}
    manifest = of_rows(flat, [{}, several, {"category": None}, {"category": []}])
    assert manifest.kind is DataKind.CAPTIONS
    assert [item.class_name for item in manifest.candidates] == [None] * 4
    assert [item.caption for item in manifest.candidates] == [f"sound {k}" for k in range(4)]
    assert manifest.candidates[1].captions == ("sound 1", "a second text")
    assert any("captions alone" in notice for notice in manifest.notices)
    cleaned = clean_manifest(manifest)
    require_usable(cleaned, max_excluded_share=0.0)
    assert len(cleaned.samples) == 4
    assert cleaned.classes == ()


def test_a_list_of_labels_makes_all_rows_labels_and_leaves_out_who_has_none(flat):
    """Catches: one of several labels taken, or a pair without any kept or dropped unsaid."""
    flags = [
        {"label": "rain", "audible": True, "visible": False},
        {"label": "umbrella", "audible": False, "visible": True},
        {"label": "dog", "audible": True, "visible": True},
    ]
    changes = [{"category": ["rain", "dog"]}, {"labels": flags}, {"category": "rain"}, {}]
    manifest = of_rows(flat, changes)
    assert manifest.kind is DataKind.LABELS
    found = {item.id: item.labels for item in manifest.candidates}
    assert found == {"a0": ("dog", "rain"), "a1": ("dog", "rain"), "a2": ("rain",)}
    (left_out,) = manifest.exclusions
    assert (left_out.id, left_out.reason) == ("a3", Reason.NO_LABEL)
    item = manifest.candidates[1]
    assert {"label": "umbrella", "audible": False, "visible": True} in item.provenance["labels"]
    assert any("1 labels are marked as not audible" in notice for notice in manifest.notices)
    cleaned = clean_manifest(manifest)
    assert cleaned.class_counts() == {"dog": 2, "rain": 3}


def test_a_class_in_one_row_leaves_out_the_rows_without(flat):
    """Catches: pairs without a class trained as a class of their own."""
    manifest = of_rows(flat, [{"class": "rain"}, {}, {"class": "dog"}, {"class": "dog"}])
    assert manifest.kind is DataKind.CLASSES
    assert [(i.id, i.reason) for i in manifest.exclusions] == [("a1", Reason.NO_LABEL)]
    assert "it has no class, but other pairs have one" in manifest.exclusions[0].detail


@pytest.mark.parametrize("is_map", [True, False])
def test_a_folder_with_captions_and_no_classes_is_captions_alone(flat, is_map):
    """Catches: captions next to the media that count for nothing without a class."""
    if is_map:
        texts = {"a0": ["rain on a roof", "it rains"], "a1": "a dog", "a2": "wind"}
        (flat / "captions.json").write_text(json.dumps(texts))
    else:
        for stem, text in (("a0", "rain on a roof"), ("a1", "a dog"), ("a2", "wind")):
            (flat / "audio" / f"{stem}.txt").write_text(text)
    manifest = scan_folder(flat).manifest()
    assert manifest.kind is DataKind.CAPTIONS
    assert [item.caption for item in manifest.candidates] == ["rain on a roof", "a dog", "wind"]
    first = ("rain on a roof", "it rains") if is_map else ()
    assert manifest.candidates[0].captions == first
    assert [(i.id, i.reason) for i in manifest.exclusions] == [("a3", Reason.NO_CAPTION)]


def test_neither_class_nor_caption_is_still_explained(flat):
    """Catches: pairs of which nothing is known taken for captions alone."""
    with pytest.raises(DataError, match="no class is given for them, and no caption"):
        scan_folder(flat)


def test_audiosets_own_list_keeps_every_label_by_name(tmp_path, write_wav, write_png):
    """Catches: labels cut at the commas of the quoted field, or left as machine ids unsaid."""
    (tmp_path / "eval_segments.csv").write_text(AUDIOSET)
    stems = ("--PE3ZW7NJY_000030", "-0SdAVK79lg_000000")
    options = media_of(tmp_path, write_wav, write_png, *stems)
    bare = ingest([tmp_path / "eval_segments.csv"], tmp_path / "a", options=options).manifest
    assert any("machine ids" in notice for notice in bare.notices)
    (tmp_path / "class_labels_indices.csv").write_text(NAMES)
    found = ingest([tmp_path / "eval_segments.csv"], tmp_path / "b", options=options).manifest
    assert found.kind is DataKind.LABELS
    assert [(i.labels, i.official_split) for i in found.candidates] == [
        (("Gush, stream", "Speech"), "test"),
        (("Rain",), "test"),
    ]
    assert found.candidates[0].caption == "A scene with Gush, stream and Speech sound"


def test_vggsounders_list_keeps_what_is_heard_and_says_what_is_not(tmp_path, write_wav, write_png):
    """Catches: a label that is only seen taken as one of the sound."""
    (tmp_path / "vggsounder.csv").write_text(VGGSOUNDER)
    stems = ("---g-f_I2yQ_000001", "--PE3ZW7NJY_000030")
    options = media_of(tmp_path, write_wav, write_png, *stems)
    found = ingest([tmp_path / "vggsounder.csv"], tmp_path / "set", options=options).manifest
    (kept,), (left_out,) = found.candidates, found.exclusions
    assert kept.labels == ("male singing", "people crowd")
    assert {row["label"]: row["visible"] for row in kept.provenance["labels"]} == {
        "male singing": False, "people crowd": True, "people marching": True,
    }  # fmt: skip
    assert (left_out.reason, left_out.detail) == (Reason.NO_LABEL, "none of its labels is audible")


def test_audiocaps_without_a_class_is_one_pair_a_clip_with_all_its_captions(
    tmp_path, write_wav, write_png
):
    """Catches: AudioCaps refused without a class, or a test clip that counts once a caption."""
    (tmp_path / "test.csv").write_text(AUDIOCAPS)
    stems = ("7fmOlUlwoNg_000020", "6BJ455B1aAs_000000")
    options = media_of(tmp_path, write_wav, write_png, *stems)
    done = ingest([tmp_path / "test.csv"], tmp_path / "set", options=options)
    first, second = sorted(done.manifest.candidates, key=lambda item: -len(item.captions))
    assert first.captions == ("Constant rattling noise and sharp vibrations", "A machine rattles")
    assert (first.caption, first.official_split) == (first.captions[0], "test")
    assert second.captions == ()
    data = ingested_data(done, folder=tmp_path / "set")
    assert {key: data[key] for key in ("kind", "kept", "excluded", "captions", "labels")} == {
        "kind": "captions", "kept": 2, "excluded": 0, "captions": 3, "labels": 0,
    }  # fmt: skip


def test_the_kind_with_its_lists_comes_back_from_disk(flat, tmp_path):
    """Catches: labels and captions lost between ingest and the next command."""
    changes = [{"category": ["rain", "dog"], "caption": ["one", "two"]}, *[{"labels": ["dog"]}] * 3]
    manifest = of_rows(flat, changes)
    manifest.save(tmp_path / "set")
    found = Manifest.load(tmp_path / "set")
    assert found == manifest
    assert found.candidates[0].captions == ("one", "two")
    cleaned = clean_manifest(found)
    assert cleaned.as_ingested() == found


def test_a_label_map_turns_labels_into_classes_and_drops_the_others(flat, tmp_path):
    """Catches: a label that the map does not list kept, or a pair with one good label lost."""
    of_rows(
        flat, [{"labels": ["raining", "cow"]}, {"labels": ["cow"]}, *[{"labels": ["rain"]}] * 2]
    )
    labels = LabelMap("mine", {"rain": ("raining",)})
    found = ingest([flat], tmp_path / "set", options=Options(labels=labels)).manifest
    assert {item.id: item.labels for item in found.candidates} == dict.fromkeys(
        ("a0", "a2", "a3"), ("rain",)
    )
    assert [(i.id, i.reason) for i in found.exclusions] == [("a1", Reason.UNMAPPED_LABEL)]


def test_an_included_item_of_another_kind_than_the_data_is_refused(flat):
    """Catches: a manifest that says captions and holds classes."""
    manifest = clean_manifest(of_rows(flat, [{"class": "rain"}] * 4))
    with pytest.raises(DataError, match="is included with classes, but the data are of kind"):
        Manifest(
            manifest.root,
            manifest.items,
            manifest.num_input,
            kind=DataKind.CAPTIONS,
        )
    assert all(item.status is Status.INCLUDED for item in manifest.items)
