"""WebDataset shards: streamed, and nothing an archive can say gets out of the folder."""

import gzip
import io
import json
import tarfile

import pytest

from core.data.ingest import shards
from core.data.ingest.ingest import ingest
from core.data.ingest.source import Options
from core.data.items import Reason, Status
from core.errors import DataError, UsageError


def info(name, *, kind=tarfile.REGTYPE, link="", size=0):
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = kind, link, size
    return member


def sample(key, media, *, label="rain"):
    audio, image = media
    return [(f"{key}.wav", audio), (f"{key}.png", image), (f"{key}.cls", label.encode())]


def reasons(manifest):
    return {item.id: item.reason for item in manifest.exclusions}


def test_samples_become_pairs_with_the_archives_bytes(tmp_path, write_shard, media_bytes):
    """Catches: members paired across keys, re-encoded, or labels taken from the wrong place."""
    first, second = media_bytes(0), media_bytes(1)
    described = {"label": "fire", "caption": "a camp fire", "youtube_id": "abc"}
    shard = write_shard(
        tmp_path / "in/0.tar",
        [
            *sample("one", first),
            ("sub/two.json", json.dumps(described).encode()),
            ("sub/two.wav", second[0]),
            ("sub/two.png", second[1]),
            ("sub/two.features.npy", b"ignored"),
        ],
    )
    manifest = ingest([shard], tmp_path / "out", options=Options()).manifest
    one, two = manifest.candidates
    assert (one.id, one.class_name, one.caption, one.source) == (
        "one", "rain", "A scene with rain sound", "one",
    )  # fmt: skip
    assert (two.id, two.class_name, two.caption, two.source) == (
        "sub.two", "fire", "a camp fire", "abc",
    )  # fmt: skip
    assert (manifest.root / one.audio_path).read_bytes() == first[0]
    assert (manifest.root / two.image_path).read_bytes() == second[1]
    assert manifest.root == tmp_path / "out/media"
    assert two.provenance == {"shard": "0.tar", "key": "sub/two"}


EVIL = [
    ("/etc/passwd.wav", {}, Reason.UNSAFE_MEMBER),
    ("../../up.wav", {}, Reason.UNSAFE_MEMBER),
    ("a/../../up.wav", {}, Reason.UNSAFE_MEMBER),
    ("C:\\up.wav", {}, Reason.UNSAFE_MEMBER),
    ("link.wav", {"kind": tarfile.SYMTYPE, "link": "/etc/passwd"}, Reason.UNSAFE_MEMBER),
    ("hard.wav", {"kind": tarfile.LNKTYPE, "link": "one.wav"}, Reason.UNSAFE_MEMBER),
    ("tty.wav", {"kind": tarfile.CHRTYPE}, Reason.UNSAFE_MEMBER),
    ("disk.wav", {"kind": tarfile.BLKTYPE}, Reason.UNSAFE_MEMBER),
    ("pipe.wav", {"kind": tarfile.FIFOTYPE}, Reason.UNSAFE_MEMBER),
]


@pytest.mark.parametrize(("name", "how", "reason"), EVIL, ids=[name for name, _, _ in EVIL])
def test_unsafe_members_are_refused_and_the_rest_is_read(
    tmp_path, write_shard, media_bytes, name, how, reason
):
    """Catches: a member that writes or reads outside the folder, or one that stops the shard."""
    members = [
        *sample("one", media_bytes(0)),
        (info(name, **how), b""),
        *sample("b", media_bytes(1)),
    ]
    shard = write_shard(tmp_path / "in/0.tar", members)
    before = {path for path in tmp_path.rglob("*") if "out" not in path.parts}
    manifest = ingest([shard], tmp_path / "out", options=Options()).manifest
    assert reasons(manifest) == {f"0.tar/{name}": reason}
    if "link" in how:
        assert how["link"] in manifest.exclusions[0].detail
    assert [item.id for item in manifest.candidates] == ["b", "one"]
    assert {path for path in tmp_path.rglob("*") if "out" not in path.parts} == before
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))


def test_strange_names_make_safe_files(tmp_path, write_shard, media_bytes):
    """Catches: a key that becomes a path, a hidden file, or markup in the folder of media."""
    keys = ["two\nlines", "<script>alert(1)<", "äöü 犬", "~", "x" * 120]
    members = [pair for k, key in enumerate(keys) for pair in sample(key, media_bytes(k))]
    manifest = ingest(
        [write_shard(tmp_path / "in/0.tar", members)], tmp_path / "out", options=Options()
    ).manifest
    assert [item.id for item in manifest.candidates] == sorted(keys)
    for path in (tmp_path / "out/media").iterdir():
        assert path.name.isascii()
        assert set(path.stem) <= set(
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
        )


def test_an_oversized_member_is_skipped_unread(tmp_path, write_shard, media_bytes):
    """Catches: a bomb in a shard filling the memory."""
    members = [
        ("big.wav", bytes(300_000)),
        ("big.png", media_bytes(0)[1]),
        ("big.cls", b"rain"),
        *sample("one", media_bytes(0)),
    ]
    shard = write_shard(tmp_path / "in/0.tar.gz", members)
    options = Options(max_member_bytes=200_000)
    manifest = ingest([shard], tmp_path / "out", options=options).manifest
    assert reasons(manifest) == {"big": Reason.HUGE_MEMBER}
    assert "300,000" in manifest.exclusions[0].detail
    assert [item.id for item in manifest.candidates] == ["one"]


def test_a_header_bomb_is_refused(tmp_path, media_bytes):
    """Catches: tarfile reading a long name of gigabytes into memory before we see the member."""
    bomb = info("././@LongLink", kind=tarfile.GNUTYPE_LONGNAME, size=1 << 33)
    header = bomb.tobuf(tarfile.GNU_FORMAT)
    shard = tmp_path / "in/0.tar"
    shard.parent.mkdir()
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        audio, image = media_bytes(0)
        for name, body in (("one.wav", audio), ("one.png", image), ("one.cls", b"rain")):
            member = tarfile.TarInfo(name)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
        end = archive.offset
    shard.write_bytes(content.getvalue()[:end] + header + b"x" * 512)
    manifest = ingest([shard], tmp_path / "out", options=Options()).manifest
    (exclusion,) = manifest.exclusions
    assert exclusion.reason is Reason.BROKEN_ARCHIVE
    assert "a header of 8589934592 bytes" in exclusion.detail


@pytest.mark.parametrize("name", ["0.tar", "0.tar.gz"])
def test_a_shard_cut_short_keeps_what_was_whole(tmp_path, write_shard, media_bytes, name):
    """Catches: a traceback, or the half sample at the break taken for whole."""
    members = [*sample("one", media_bytes(0)), *sample("two", media_bytes(1))]
    shard = write_shard(tmp_path / "in" / name, members)
    content = shard.read_bytes()
    shard.write_bytes(content[: int(len(content) * 0.7)])
    manifest = ingest([shard], tmp_path / "out", options=Options()).manifest
    assert [item.id for item in manifest.candidates] == ["one"]
    assert reasons(manifest) == {name: Reason.BROKEN_ARCHIVE}
    assert "two" in manifest.exclusions[0].detail


def test_text_renamed_to_tar_is_reported(tmp_path):
    """Catches: tarfile's own error reaching the user."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/0.tar").write_text("not found")
    (tmp_path / "in/1.tar.gz").write_bytes(gzip.compress(b"not found")[:-4])
    manifest = ingest([tmp_path / "in"], tmp_path / "out", options=Options()).manifest
    assert set(reasons(manifest).values()) == {Reason.BROKEN_ARCHIVE}
    assert manifest.num_input == 2


def test_incomplete_and_unclear_samples_are_named(tmp_path, write_shard, media_bytes):
    """Catches: a sample that vanishes because a member of it is missing, doubled or malformed."""
    audio, image = media_bytes(0)
    members = [
        ("noimage.wav", audio), ("noimage.cls", b"rain"),
        ("noaudio.png", image), ("noaudio.cls", b"rain"),
        ("nolabel.wav", audio), ("nolabel.png", image),
        ("two.wav", audio), ("two.flac", audio), ("two.png", image), ("two.cls", b"rain"),
        ("badjson.wav", audio), ("badjson.png", image), ("badjson.json", b"[1]"),
        ("badtext.wav", audio), ("badtext.png", image), ("badtext.cls", b"\xff\xf1"),
        *sample("again", (audio, image)),
        *sample("between", (audio, image)),
        *sample("again", media_bytes(1)),
        ("only.cls", b"rain"),
    ]  # fmt: skip
    shard = write_shard(tmp_path / "in/0.tar", members)
    manifest = ingest([shard], tmp_path / "out", options=Options()).manifest
    assert reasons(manifest) == {
        "noimage": Reason.MISSING_IMAGE,
        "noaudio": Reason.MISSING_AUDIO,
        "nolabel": Reason.NO_LABEL,
        "two": Reason.SEVERAL_FILES,
        "badjson": Reason.UNREADABLE,
        "badtext": Reason.UNREADABLE,
        "again": Reason.REPEATED,
        "only": Reason.MISSING_AUDIO,
    }
    again = next(item for item in manifest.exclusions if item.id == "again")
    assert "'again' comes twice in 0.tar" in again.detail
    assert [item.id for item in manifest.candidates] == ["again", "between"]
    assert manifest.num_input == 10


def test_a_video_in_a_shard_is_cut(tmp_path, write_shard, video):
    """Catches: the usual shard of video clips being left out whole."""
    members = [
        ("v.mp4", video.read_bytes()),
        ("v.cls", b"rain"),
        ("w.mp4", b"x"),
        ("w.cls", b"fire"),
    ]
    shard = write_shard(tmp_path / "in/0.tar", members)
    manifest = ingest([shard], tmp_path / "out", options=Options(window_s=2.0)).manifest
    (pair,) = manifest.candidates
    assert pair.provenance["frame_time_s"] >= 0
    assert reasons(manifest) == {"w": Reason.UNDECODABLE_VIDEO}


def test_keys_of_several_shards_stay_apart(tmp_path, write_shard, media_bytes):
    """Catches: a sample of one shard overwriting its namesake of another."""
    for k in range(2):
        write_shard(tmp_path / f"in/{k}.tar", sample("one", media_bytes(k)))
    manifest = ingest([tmp_path / "in"], tmp_path / "out", options=Options()).manifest
    first, second = manifest.candidates
    assert (first.id, second.id) == ("one", "one~2")
    assert first.source == second.source == "one"
    assert (manifest.root / first.audio_path).read_bytes() == media_bytes(0)[0]
    assert (manifest.root / second.audio_path).read_bytes() == media_bytes(1)[0]


def test_loose_media_beside_the_shards_are_counted(tmp_path, write_shard, media_bytes, write_wav):
    """Catches: a clip in the folder of shards that is neither read nor named."""
    write_shard(tmp_path / "in/0.tar", sample("one", media_bytes(0)))
    write_wav(tmp_path / "in/spare.wav")
    with pytest.raises(UsageError, match="as pairs or as webdataset; say which with --kind"):
        ingest([tmp_path / "in"], tmp_path / "out", options=Options())
    manifest = ingest(
        [tmp_path / "in"], tmp_path / "out", options=Options(), kind="webdataset"
    ).manifest
    assert reasons(manifest) == {"in/spare.wav": Reason.NOT_LISTED}
    assert (manifest.root / manifest.candidates[0].audio_path).is_file()


def test_members_without_a_class_take_the_users(tmp_path, write_shard, media_bytes):
    """Catches: --class and --label-file not reaching the shards."""
    audio, image = media_bytes(0)
    members = [("a.wav", audio), ("a.png", image), *sample("b", (audio, image))]
    shard = write_shard(tmp_path / "in/0.tar", members)
    options = Options(class_name="siren", label_of={"b": "fire"})
    manifest = ingest([shard], tmp_path / "out", options=options).manifest
    assert {item.id: item.class_name for item in manifest.items} == {"a": "siren", "b": "fire"}
    assert {item.status for item in manifest.items} == {Status.CANDIDATE}


def test_a_folder_without_shards_read_as_shards_is_reported(tmp_path, write_wav):
    """Catches: an empty manifest for a mistyped --kind."""
    write_wav(tmp_path / "in/a.wav")
    with pytest.raises(DataError, match="holds no shard"):
        ingest([tmp_path / "in"], tmp_path / "out", options=Options(), kind="webdataset")
    with pytest.raises(UsageError, match="did you mean 'webdataset'"):
        ingest([tmp_path / "in"], tmp_path / "out", options=Options(), kind="webdatset")


def test_keys_with_dots_are_divided_at_the_last_one(tmp_path, write_shard, media_bytes):
    """Catches: AudioSet's names cut at the first dot, so that no sample has a class or media."""
    keys = ["Ya_30.000_40.000", "Ya_30.500_40.500", "v1.2/Yb_0.000_10.000"]
    members = [m for k, key in enumerate(keys) for m in sample(key, media_bytes(k))]
    members += [*sample("plain", media_bytes(7)), ("plain.seg.png", b"mask")]
    shard = write_shard(tmp_path / "in/0.tar", members)
    manifest = ingest([shard], tmp_path / "out", options=Options()).manifest
    assert [item.id for item in manifest.items] == [
        "Ya_30.000_40.000", "Ya_30.500_40.500", "plain", "v1.2.Yb_0.000_10.000",
    ]  # fmt: skip
    assert all(item.status is Status.CANDIDATE for item in manifest.items)
    assert (manifest.root / manifest.items[1].audio_path).read_bytes() == media_bytes(1)[0]
    assert "names with a dot" in manifest.notices[0]


def test_labels_and_captions_of_other_types_are_read_or_named(tmp_path, write_shard, media_bytes):
    """Catches: "no 'label'" for a label that is there, and a list of captions replaced by ours."""
    described = {
        "number": {"label": 0, "text": ["the sound of rain", "rain"]},
        "listed": {"class": ["rain"], "caption": "x"},
        "several": {"class": ["rain", "wind"]},
        "flag": {"label": True},
        "object": {"class": "rain", "text": {"en": "rain"}},
        "nul": {"class": "ra\0in"},
        "deep": None,
    }
    members = []
    for index, (key, body) in enumerate(described.items()):
        audio, image = media_bytes(index)
        text = b"[" * 200_000 if body is None else json.dumps(body).encode("utf-8-sig")
        members += [(f"{key}.wav", audio), (f"{key}.png", image), (f"{key}.json", text)]
    audio, image = media_bytes(99)
    members += [("bom.wav", audio), ("bom.png", image), ("bom.cls", b"\xef\xbb\xbfrain\r\n")]
    shard = write_shard(tmp_path / "in/0.tar", members)
    manifest = ingest([shard], tmp_path / "out", options=Options()).manifest
    told = {item.id: (item.class_name, item.caption) for item in manifest.candidates}
    assert told == {
        "number": ("0", "the sound of rain"),
        "listed": ("rain", "x"),
        "bom": ("rain", "A scene with rain sound"),
    }
    details = {item.id: item.detail for item in manifest.exclusions}
    assert "'class' is a list of 2; expected text" in details["several"]
    assert "'label' is true or false" in details["flag"]
    assert "'text' is an object" in details["object"]
    assert "NUL" in details["nul"]
    assert "nested deeper" in details["deep"]


def test_an_archive_that_unpacks_without_an_end_is_left(tmp_path, media_bytes, monkeypatch):
    """Catches: a 3 MB tar.gz that takes a minute of unpacking gigabytes of nothing."""
    monkeypatch.setattr(shards, "_ALWAYS_READ_BYTES", 1 << 20)
    path = tmp_path / "in/0.tar.gz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as archive:
        for name, content in (*sample("good", media_bytes(0)), ("bomb.npy", bytes(64 << 20))):
            archive.addfile(info(name, size=len(content)), io.BytesIO(content))
    manifest = ingest([path], tmp_path / "out", options=Options()).manifest
    assert [item.id for item in manifest.candidates] == ["good"]
    (left,) = manifest.exclusions
    assert left.reason is Reason.BROKEN_ARCHIVE
    assert "200 times its size" in left.detail


def test_a_shard_packed_on_a_mac_keeps_its_samples(tmp_path, write_shard, media_bytes):
    """Catches: `._one.wav` between the members of a sample, which then 'comes twice' and is out."""
    members = [
        part
        for index, key in enumerate(("one", "two"))
        for name, content in sample(f"./{key}", media_bytes(index))
        for part in ((name.replace("./", "./._"), b"\0\5\x16\7Mac OS X"), (name, content))
    ]
    write_shard(tmp_path / "in/0.tar", members)
    (tmp_path / "in/._0.tar").write_bytes(b"\0\5\x16\7Mac OS X")
    manifest = ingest([tmp_path / "in"], tmp_path / "out", options=Options()).manifest
    assert [item.id for item in manifest.candidates] == ["one", "two"]
    assert set(manifest.reason_counts()) == {Reason.SYSTEM_FILE}
