"""Every reader of files from outside, given files that are nearly right: a sentence, or a value.

Structure-aware mutation: JSON values are replaced by values of other kinds, binary fields by their
extremes, chunks dropped, doubled, swapped or cut. A few seconds with a fixed seed here; `make
faults` goes on for minutes. HARNESS_FUZZ_SECONDS and HARNESS_FUZZ_SEED choose another length.
"""

import io
import json
import os
import random
import resource
import signal
import tarfile
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass

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
from core.errors import HarnessError
from core.features.store import read_index
from core.locks import is_alive, read_process, this_process

SEED = int(os.environ.get("HARNESS_FUZZ_SEED", "15"))
MAX_BYTES = 1 << 30
HANG_S = 120.0
"""Of one input; the slowest takes seconds on a busy machine."""
VALUES = [
    None, True, 0, -1, 1.5, 2**63, 10**400, float("nan"), float("inf"), "", "\0", "x" * 3000,
    "../x",
    "\ud800", "빗", [], [[]], {}, {"a": {}}, [1, "a", None], "2024", "~", "\\x\\y", "a\nb",
]  # fmt: skip
NUMBERS = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\1\0\0\0", b"\0\0\0\x80"]


def changed_json(value, rng):
    """`value` with one part replaced, dropped or doubled."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        found = dict(value)
        choice = rng.random()
        if choice < 0.15:
            del found[key]
        elif choice < 0.25:
            found[rng.choice(["", "x", "class", "\0"])] = rng.choice(VALUES)
        else:
            found[key] = changed_json(value[key], rng)
        return found
    if isinstance(value, list) and value and rng.random() < 0.85:
        place = rng.randrange(len(value))
        found = list(value)
        choice = rng.random()
        if choice < 0.15:
            del found[place]
        elif choice < 0.3:
            found.insert(place, found[place])
        else:
            found[place] = changed_json(value[place], rng)
        return found
    return rng.choice(VALUES)


def changed_bytes(content, rng):
    """`content` with bits flipped, fields set to extremes, or a stretch dropped, doubled, moved."""
    found = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5))):
        # The head decides what the rest means.
        end = len(found) if rng.random() < 0.4 else min(len(found), 64)
        place = rng.randrange(max(1, end))
        length = rng.choice((1, 4, 16, 512))
        kind = rng.randrange(7)
        if kind == 0 and found:
            found[min(place, len(found) - 1)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            found[place : place + 4] = rng.choice(NUMBERS)
        elif kind == 2:
            del found[place : place + length]
        elif kind == 3:
            found[place:place] = found[place : place + length]
        elif kind == 4:
            found = found[:place]
        elif kind == 5:
            found[place:place] = rng.choice((b"\0" * 40, b"\xff\xfe", b"\xef\xbb\xbf", b'"', b"\n"))
        else:
            found[place:place] = bytes(rng.randrange(256) for _ in range(length))
    return bytes(found)


def changed_text(content, rng):
    """Of a JSON file a value mostly, else bytes; now and then a nest that is far too deep."""
    if rng.random() < 0.02:
        return rng.choice((b"[", b'{"a":')) * 100_000
    try:
        value = json.loads(content)
    except ValueError:
        return changed_bytes(content, rng)
    if rng.random() < 0.25:
        return changed_bytes(content, rng)
    changed = changed_json(value, rng)
    text = json.dumps(changed, ensure_ascii=rng.random() < 0.5)
    return text.encode(rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16")), "surrogatepass")


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


@dataclass
class Tried:
    """What a fuzzer went through."""

    inputs: dict[str, int]
    """By reader."""
    sentences: int = 0
    """Inputs that a reader refused."""
    slowest_s: float = 0.0
    slowest: str = ""
    """Reader of the slowest input."""
    peak_bytes: int = 0
    """Most memory of the process, less what it had before the first input."""


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextmanager
def ending(seconds):
    """Raises AssertionError inside the block where it takes longer."""

    def ring(*_):
        raise AssertionError(f"no answer after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    left = signal.setitimer(signal.ITIMER_REAL, seconds)[0]
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)
        signal.signal(signal.SIGALRM, before)


def fuzz(readers, *, seconds, rng, min_inputs):
    """Inputs tried. Raises: whatever is no sentence, with the input that made it."""
    tried, before = Tried(dict.fromkeys(readers, 0)), _memory()
    for name, (valid, change, read) in readers.items():
        end = time.monotonic() + seconds / len(readers)
        while time.monotonic() < end or tried.inputs[name] < min_inputs:
            content = change(rng.choice(valid), rng)
            tried.inputs[name] += 1
            began = time.monotonic()
            try:
                with warnings.catch_warnings(), ending(HANG_S):
                    warnings.simplefilter("ignore")
                    read(content)
            except HarnessError:  # a sentence
                tried.sentences += 1
            except Exception as error:
                raise AssertionError(f"{name}: {content[:3000]!r}") from error
            if time.monotonic() - began > tried.slowest_s:
                tried.slowest_s, tried.slowest = time.monotonic() - began, name
    tried.peak_bytes = _memory() - before
    assert tried.peak_bytes < MAX_BYTES, tried
    return tried


def test_no_reader_ends_in_a_traceback(readers):
    """Catches: an error of a parser, a division by zero or a recursion that reaches the user."""
    tried = fuzz(readers, seconds=0, rng=random.Random(SEED), min_inputs=60)
    assert min(tried.inputs.values()) >= 60


@pytest.mark.faults
@pytest.mark.timeout(7200)
def test_no_reader_ends_in_a_traceback_at_length(readers):
    """Catches: the same, where it takes many tries."""
    seconds = float(os.environ.get("HARNESS_FUZZ_SECONDS", "600"))
    seed = int(os.environ.get("HARNESS_FUZZ_SEED", str(time.time_ns())))
    tried = fuzz(readers, seconds=seconds, rng=random.Random(seed), min_inputs=1)
    print(f"seed {seed}: {sum(tried.inputs.values()):,} inputs: {tried}")
