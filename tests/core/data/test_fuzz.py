"""Every reader of files from outside, given files that are nearly right: a sentence, or a value.

A few seconds with a fixed seed here; `make faults` goes on for minutes (tests/fuzzing.py).
"""

import io
import json
import random
import tarfile
import time

import numpy as np
import pytest
import soundfile
from PIL import Image

from core.audit.listing import read_target
from core.data.cleaning.journal import Journal
from core.data.ingest.captions import Captions
from core.data.ingest.clip_rows import is_audiocaps_list, read_audiocaps_list, read_vggsound_list
from core.data.ingest.folder import scan_folder
from core.data.ingest.ingest import ingest
from core.data.ingest.label_file import read_label_file
from core.data.ingest.scan import walk
from core.data.ingest.source import Options
from core.data.items import Item, Status
from core.data.labels import load_label_map
from core.data.manifest import Manifest
from core.data.media.inspection import MediaKind, inspect_file
from core.data.splits.make import make_split
from core.data.splits.split import Part, load_split
from core.features.store import read_index
from core.locks import is_alive, read_process, this_process
from tests.fuzzing import SEED, changed_bytes, changed_text, fuzz, fuzz_at_length


def sounds():
    tone = 0.3 * np.sin(np.arange(12_000) / 9)
    for form, subtype in (
        ("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAVEX", "PCM_24"), ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"),
    ):  # fmt: skip
        file = io.BytesIO()
        soundfile.write(file, tone, 16_000, format=form, subtype=subtype)
        yield file.getvalue()


def pictures():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    for form in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, form)
        yield file.getvalue()


def shard():
    file, sound, picture = io.BytesIO(), next(sounds()), next(pictures())
    with tarfile.open(fileobj=file, mode="w") as archive:
        for key in ("a", "sub/b", "c_1.000_2.000"):
            for ending, content in (
                (".wav", sound), (".png", picture), (".json", b'{"class": "rain", "text": ["x"]}'),
            ):  # fmt: skip
                member = tarfile.TarInfo(key + ending)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def rows():
    names = ("video_id", "audio_path", "image_path", "class", "text")
    made = [
        dict(zip(names, (f"v{k}", f"{k}.wav", f"{k}.png", "rain", "x"), strict=True)) for k in "ab"
    ]
    return [{**row, "attributes": {"pitch": 0.5}} for row in made]


def manifest(root):
    items = tuple(
        Item(
            f"{name}{k}", Status.INCLUDED, class_name=name, caption="x", source=f"{name}{k}",
            audio_path=f"{name}{k}.wav", image_path=f"{name}{k}.png", duration_s=1.0,
            audio_sha256=f"a{name}{k}", image_sha256=f"i{name}{k}", attributes={"pitch": 0.5},
        )
        for name in ("rain", "dog")
        for k in range(4)
    )  # fmt: skip
    return Manifest(root, items, len(items), notices=("x",))


@pytest.fixture
def readers(tmp_path):
    """By name: valid files, how they are changed, and what reads one."""
    root = tmp_path / "root"
    root.mkdir()
    saved = manifest(root)
    saved.save(tmp_path / "set")
    make_split(saved, cap=9, seed=0).save(tmp_path / "lock.json")
    locked = (tmp_path / "lock.json").read_bytes()
    table = (tmp_path / "set/manifest.parquet").read_bytes()
    csv = b'id,start,label,split\nabc,10,"a, b",train\ndef,20,rain,test\n'
    captions = b"audiocap_id,youtube_id,start_time,caption\n1,abc,10,a dog\n"

    def path_of(name, content):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path

    def read_sound(content):
        inspect_file(path_of("x.wav", content), kind=MediaKind.AUDIO, window_s=10.0)

    def read_picture(content):
        inspect_file(path_of("x.png", content), kind=MediaKind.IMAGE, window_s=10.0)

    def read_list(content):
        scan_folder(path_of("root/metadata.json", content).parent)

    def read_lines(content):
        path_of("hf/metadata.jsonl", content)
        Captions.of(tmp_path / "hf", walk(tmp_path / "hf")).all("a.wav")

    def read_journal(content):
        with Journal(path_of("j", content), root=root, window_s=10.0) as journal:
            journal.find("a.wav", MediaKind.AUDIO)

    def read_shard(content):
        out = tmp_path / f"out{time.monotonic_ns()}"
        ingest([path_of("in/0.tar", content)], out, options=Options())

    def read_vggsound(content):
        path = path_of("x.csv", content)
        is_audiocaps_list(path)
        read_vggsound_list(path)

    def read_lock(content):
        split = load_split(path_of("x.json", content))
        assert set(split.parts) == set(Part)

    def read_holder(content):
        found = read_process(path_of("h.json", content))
        assert found is None or is_alive(found) in (True, False)

    (root / "a.wav").write_bytes(next(sounds()))
    facts = {"key": ["2:10:0.5:16:64000000", "audio", "a.wav", 1, 2, 3], "outcome": {"facts": None}}
    text = json.dumps
    index = {"format": 1, "keys": ["a"], "sha256": "x", "checksum": "y"}
    return {
        "sound": (list(sounds()), changed_bytes, read_sound),
        "picture": (list(pictures()), changed_bytes, read_picture),
        "shard": ([shard()], changed_bytes, read_shard),
        "metadata": ([text(rows()).encode()], changed_text, read_list),
        "caption list": ([b'{"file_name": "a.wav", "text": "x"}'], changed_text, read_lines),
        "part file": ([text(rows()).encode(), locked], changed_text,
                      lambda c: read_target(path_of("train_x.json", c))),
        "lock": ([locked], changed_text, read_lock),
        "manifest": ([table], changed_bytes,
                     lambda c: Manifest.load(path_of("m/manifest.parquet", c).parent)),
        "journal": ([text(facts).encode()], changed_text, read_journal),
        "vggsound": ([csv], changed_bytes, read_vggsound),
        "audiocaps": ([captions], changed_bytes,
                      lambda c: read_audiocaps_list(path_of("train.csv", c))),
        "label file": ([b"id,label\na,rain\nb,dog\n"], changed_bytes,
                       lambda c: read_label_file(path_of("l.csv", c))),
        "label map": ([b'[classes]\nrain = ["raining", "drops"]\n'], changed_bytes,
                      lambda c: load_label_map(str(path_of("map.toml", c)))),
        "cache index": ([text(index).encode()],
                        changed_text, lambda c: read_index(path_of("i.json", c))),
        "holder": ([text(this_process()).encode()], changed_text, read_holder),
    }  # fmt: skip


def test_no_reader_ends_in_a_traceback(readers):
    """Catches: an error of a parser, a division by zero or a recursion that reaches the user."""
    tried = fuzz(readers, seconds=0, rng=random.Random(SEED), min_inputs=60)
    assert min(tried.inputs.values()) >= 60


@pytest.mark.faults
@pytest.mark.timeout(7200)
def test_no_reader_ends_in_a_traceback_at_length(readers):
    """Catches: the same, where it takes many tries."""
    fuzz_at_length(readers)
