"""VGGSound's and AudioCaps' lists, with media already on disk."""

import pytest

from core.data.ingest.clip_rows import read_vggsound_list
from core.data.ingest.ingest import ingest
from core.data.ingest.source import Options
from core.data.items import DataKind, Reason
from core.errors import DataError

# Lines as they stand in the published files.
VGGSOUND = """---g-f_I2yQ,1,people marching,test
--0PQM4-hqg,30,waterfall burbling,train
--56QUhyDQM,185,"bird chirping, tweeting",train
--5OkAjCI7g,40,fire truck siren,test
"""
AUDIOCAPS = """audiocap_id,youtube_id,start_time,caption
103549,7fmOlUlwoNg,20,Constant rattling noise and sharp vibrations
97151,6BJ455B1aAs,0,"A rocket flies by followed by a loud explosion, then fire"
103541,7fmOlUlwoNg,20,A machine rattles
"""


def reasons(manifest):
    return {item.id: item.reason for item in manifest.exclusions}


@pytest.fixture
def clips(tmp_path, write_wav, write_png):
    """A list of four clips; the files of the first two, named as people name them."""
    (tmp_path / "vggsound.csv").write_text(VGGSOUND)
    write_wav(tmp_path / "media/audio/---g-f_I2yQ_000001.wav", seed=0)
    write_png(tmp_path / "media/frames/---g-f_I2yQ_000001.jpg", seed=0)
    write_wav(tmp_path / "media/--0PQM4-hqg.wav", seed=1)
    write_png(tmp_path / "media/--0PQM4-hqg.jpg", seed=1)
    write_wav(tmp_path / "media/--5OkAjCI7g_000040.wav", seed=2)
    write_wav(tmp_path / "media/unknown.wav", seed=3)
    return tmp_path


def test_the_published_list_is_read_row_by_row(clips):
    """Catches: a quoted comma cutting a label, or the official division being lost."""
    rows = read_vggsound_list(clips / "vggsound.csv")
    assert [(row.id, row.label, row.official_split) for row in rows] == [
        ("---g-f_I2yQ_000001", "people marching", "test"),
        ("--0PQM4-hqg_000030", "waterfall burbling", "train"),
        ("--56QUhyDQM_000185", "bird chirping, tweeting", "train"),
        ("--5OkAjCI7g_000040", "fire truck siren", "test"),
    ]
    assert rows[2].place == "vggsound.csv, row 3"


def test_clips_on_disk_are_paired_and_all_others_named(clips):
    """Catches: a row or a file that is neither a pair nor an exclusion, or names not looked for."""
    options = Options(media=clips / "media")
    manifest = ingest([clips / "vggsound.csv"], clips / "out", options=options).manifest
    first, second = manifest.candidates
    assert (first.id, first.source, first.class_name, first.official_split) == (
        "---g-f_I2yQ_000001", "---g-f_I2yQ", "people marching", "test",
    )  # fmt: skip
    assert (first.audio_path, first.image_path) == (
        "audio/---g-f_I2yQ_000001.wav", "frames/---g-f_I2yQ_000001.jpg",
    )  # fmt: skip
    assert (second.audio_path, second.official_split) == ("--0PQM4-hqg.wav", "train")
    assert {item.kind for item in manifest.candidates} == {"vggsound"}
    assert reasons(manifest) == {
        "--56QUhyDQM_000185": Reason.NO_MEDIA,
        "--5OkAjCI7g_000040": Reason.MISSING_IMAGE,
        "unknown.wav": Reason.NOT_LISTED,
    }
    by_id = {item.id: item for item in manifest.exclusions}
    for stem in ("--56QUhyDQM_000185", "--56QUhyDQM_185000_195000", "Y--56QUhyDQM"):
        assert stem in by_id["--56QUhyDQM_000185"].detail
    # A class of which nothing is on disk is no class of this data set.
    assert manifest.named_classes == ("fire truck siren", "people marching", "waterfall burbling")


def test_a_header_is_skipped(clips):
    """Catches: the header read as a clip called `id`."""
    path = clips / "vggsound.csv"
    path.write_text("id,start,label,split\n" + VGGSOUND)
    assert len(read_vggsound_list(path)) == 4
    options = Options(media=clips / "media")
    assert len(ingest([path], clips / "out", options=options).manifest.candidates) == 2


def test_a_bare_name_is_refused_where_it_could_be_two_clips(clips):
    """Catches: one file taken for two clips of a video."""
    (clips / "vggsound.csv").write_text(
        "--0PQM4-hqg,30,waterfall burbling,train\n--0PQM4-hqg,60,waterfall burbling,train\n"
    )
    options = Options(media=clips / "media")
    manifest = ingest([clips / "vggsound.csv"], clips / "out", options=options).manifest
    assert manifest.candidates == ()
    assert reasons(manifest)["--0PQM4-hqg_000030"] is Reason.NO_MEDIA


def test_captions_take_their_class_from_the_label_file(tmp_path, write_wav, write_png):
    """Catches: captions of one clip losing their common source, or an invented class."""
    (tmp_path / "train.csv").write_text(AUDIOCAPS)
    for seed, stem in enumerate(("Y7fmOlUlwoNg", "6BJ455B1aAs_0")):
        write_wav(tmp_path / f"media/{stem}.wav", seed=seed)
        write_png(tmp_path / f"media/{stem}.png", seed=seed)
    options = Options(media=tmp_path / "media", label_of={"7fmOlUlwoNg": "engine"})
    manifest = ingest([tmp_path / "train.csv"], tmp_path / "out", options=options).manifest
    assert [(item.id, item.caption) for item in manifest.candidates] == [
        ("7fmOlUlwoNg_000020.103541", "A machine rattles"),
        ("7fmOlUlwoNg_000020.103549", "Constant rattling noise and sharp vibrations"),
    ]
    assert {item.source for item in manifest.candidates} == {"7fmOlUlwoNg"}
    assert {item.official_split for item in manifest.candidates} == {"train"}
    assert {item.class_name for item in manifest.candidates} == {"engine"}
    assert reasons(manifest) == {"6BJ455B1aAs_000000.97151": Reason.NO_LABEL}


def test_a_label_file_of_other_clips_leaves_no_data_of_captions(tmp_path, write_wav, write_png):
    """Catches: the label file of another list, after which all pairs count as captions alone."""
    (tmp_path / "train.csv").write_text(AUDIOCAPS)
    write_wav(tmp_path / "media/Y7fmOlUlwoNg.wav")
    write_png(tmp_path / "media/Y7fmOlUlwoNg.png")
    options = Options(media=tmp_path / "media", label_of={"elsewhere": "engine"})
    manifest = ingest([tmp_path / "train.csv"], tmp_path / "out", options=options).manifest
    assert manifest.kind is DataKind.CLASSES
    assert manifest.candidates == ()
    assert reasons(manifest)["7fmOlUlwoNg_000020.103541"] is Reason.NO_LABEL


def test_lists_that_share_their_media_count_each_file_once(clips):
    """Catches: the test list calling every training clip loose, so that nothing adds up."""
    lines = VGGSOUND.splitlines(keepends=True)
    (clips / "train.csv").write_text("".join(line for line in lines if "train" in line))
    (clips / "test.csv").write_text("".join(line for line in lines if "test" in line))
    options = Options(media=clips / "media")
    both = ingest([clips / "train.csv", clips / "test.csv"], clips / "a", options=options).manifest
    one = ingest([clips / "vggsound.csv"], clips / "b", options=options).manifest
    assert [(i.id, i.status, i.reason) for i in both.items] == [
        (i.id, i.status, i.reason) for i in one.items
    ]


def test_clips_with_only_a_video_are_cut(tmp_path, write_video):
    """Catches: a whole video cut at zero, a cut one cut again, or the originals touched."""
    (tmp_path / "v.csv").write_text("cut,30,rain,train\nwhole,2,rain,train\nbare,30,rain,test\n")
    write_video(tmp_path / "media/cut_000030.mp4")
    write_video(tmp_path / "media/whole.mp4", duration_s=4.0, tones_hz=(300.0, 900.0))
    write_video(tmp_path / "media/bare.mp4", duration_s=1.5)
    options = Options(media=tmp_path / "media", window_s=1.0)
    manifest = ingest([tmp_path / "v.csv"], tmp_path / "out", options=options).manifest
    starts = {item.source: item.provenance["clip_start_s"] for item in manifest.candidates}
    assert starts == {"cut": 0.0, "whole": 2.0, "bare": 0.0}
    for item in manifest.candidates:
        assert (manifest.root / item.audio_path).is_relative_to(tmp_path / "out/media")
        assert (manifest.root / item.audio_path).is_file()
    assert manifest.exclusions == ()
    assert len(list((tmp_path / "media").iterdir())) == 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a,1,rain", r"row 2: 3 fields; expected 4: id, start, label, split"),
        ("a,1,bird, tweeting,train", r"row 2: 5 fields; .*double quotes"),
        ("a,soon,rain,train", r"row 2: field 'start' is 'soon'; expected seconds"),
        ("a,-1,rain,train", r"row 2: field 'start' is '-1'"),
        ("a,nan,rain,train", r"row 2: field 'start' is 'nan'"),
        ("a,1e9,rain,train", r"row 2: field 'start' is '1e9'"),
        ("a,1,,train", r"row 2: field 'label' is ''; expected text"),
        ("a,1,rain,dev", r"row 2: field 'split' is 'dev'; expected train, val or test"),
        ("../a,1,rain,train", r"row 2: field 'id' is '../a'; expected an id without slash"),
        ("..,1,rain,train", r"row 2: field 'id'"),
        ("---g-f_I2yQ,1,rain,test", r"row 2: clip .* is also in v.csv, row 1 as 'people marching'"),
        ('a,1,"rain,train', r"not readable as CSV"),
    ],
)
def test_a_malformed_row_is_named(tmp_path, line, message):
    """Catches: a skipped row, or a traceback, instead of the row, the field and what was meant."""
    path = tmp_path / "v.csv"
    path.write_text(VGGSOUND.splitlines()[0] + "\n" + line + "\n")
    with pytest.raises(DataError, match=message):
        read_vggsound_list(path)


def test_a_repeated_row_counts_once_and_is_named(clips):
    """Catches: a doubled line of a list giving a clip two places in a split."""
    (clips / "vggsound.csv").write_text(VGGSOUND + VGGSOUND.splitlines()[0] + "\n")
    options = Options(media=clips / "media")
    manifest = ingest([clips / "vggsound.csv"], clips / "out", options=options).manifest
    assert manifest.num_input == 6
    assert len(manifest.candidates) == 2
    assert reasons(manifest)["---g-f_I2yQ_000001"] is Reason.REPEATED


def test_a_list_without_its_media_says_what_to_give(clips):
    """Catches: 200,000 exclusions instead of one sentence."""
    with pytest.raises(DataError, match="--media DIR"):
        ingest([clips / "vggsound.csv"], clips / "out", options=Options())
    options = Options(media=clips / "nowhere")
    with pytest.raises(DataError, match=r"no folder .*nowhere; --media"):
        ingest([clips / "vggsound.csv"], clips / "out", options=options)


def test_a_csv_of_another_kind_is_no_source(tmp_path):
    """Catches: any table taken for a list of clips."""
    (tmp_path / "x.csv").write_text("name,age\na,1\n")
    with pytest.raises(DataError, match=r"is not a known source. understood layouts"):
        ingest([tmp_path / "x.csv"], tmp_path / "out", options=Options())
    (tmp_path / "y.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not readable as CSV"):
        ingest([tmp_path / "y.csv"], tmp_path / "out", options=Options())
