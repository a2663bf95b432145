"""Sixty made clips with captions alone, from the folder to a comparison of two branches."""

import json

import numpy as np
import pytest
import soundfile
from PIL import Image

from core.data.items import DataKind
from core.data.splits.split import Part, load_split
from harness.comparison.record import load_comparison
from harness.metrics.arms import Arm
from harness.run.nearest_captions import nearest_captions
from tests.harness.comparison.made_data import (
    every_number_is_right_or_blank_with_its_reason,
    runs_of,
    take_to_a_comparison,
)

WORDS = ("fire and wind", "a siren far off", "thunder and rain")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sixty pairs with a caption each, ten of them with two, and the split that somebody made."""
    root = tmp_path_factory.mktemp("captions")
    (root / "media/audio").mkdir(parents=True)
    (root / "media/frames").mkdir()
    rows = []
    for index in range(60):
        draw = np.random.default_rng(index)
        soundfile.write(
            root / f"media/audio/a{index}.wav", 0.1 * draw.standard_normal(9_600), 16_000
        )
        pixels = draw.integers(0, 256, (24, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"media/frames/a{index}.png")
        text = f"{WORDS[index % 3]} {index % 4}"
        rows.append(
            {
                "id": f"a{index}",
                "audio_path": f"audio/a{index}.wav",
                "frame_path": f"frames/a{index}.png",
                "caption": [text, f"the sound of {text}"] if index < 10 else text,
                "split": "test" if index < 6 else "train",
            }
        )
    (root / "media/metadata_validated.json").write_text(json.dumps({"samples": rows}))
    return root


@pytest.fixture(scope="module")
def compared(folder, one_thread):
    """What each command said, from ingest to the comparison."""
    return take_to_a_comparison(folder)


@pytest.fixture(scope="module")
def runs(compared, folder):
    """The two runs by branch."""
    return runs_of(folder)


def test_nothing_is_dropped_capped_or_made_a_class(compared):
    """Catches: captions replaced, pairs left out or capped on the way to the lock."""
    ingest, split = compared["ingest"], compared["split"]
    assert {k: ingest[k] for k in ("kind", "kept", "excluded", "captions", "labels")} == {
        "kind": "captions", "kept": 60, "excluded": 0, "captions": 70, "labels": 0,
    }  # fmt: skip
    assert (compared["clean"]["kind"], compared["clean"]["included"]) == ("captions", 60)
    assert split["samples"] == {"train": 48, "val": 6, "test": 6}
    assert (split["kind"], split["groups"], split["cap"]) == ("captions", "words", None)
    assert list(split["class_weights"]) == ["none"]


def test_every_number_of_the_runs_is_right_or_blank_with_its_reason(runs, folder):
    """Catches: a score by class where there is none, or a blank that does not say why."""
    assert set(runs) == {"baseline", "text_only"}
    split = load_split(folder / "lock.json")
    for run in runs.values():
        assert run.record.split.kind is DataKind.CAPTIONS
        assert set(run.record.split.class_weights.values()) == {1.0}
        every_number_is_right_or_blank_with_its_reason(run)
        assert "captions alone" in run.record.metrics["aic"].reason
        groups = set(next(iter(run.record.evaluation.per_class.values()))["clip_score"])
        assert groups == {split.samples[id_].class_name for id_ in split.test}


def test_a_clip_hears_the_nearest_caption_and_one_by_chance(runs, folder):
    """Catches: the hard or the easy mismatched sound not sampled, or not held against the own."""
    record = runs["baseline"].record
    assert set(record.arms) == {*map(str, Arm), "real"}
    controls = {margin.control for margin in record.controls if margin.metric == "ais_win"}
    assert controls == {"shuffled", "chance", "silence", "text_only"}
    split = load_split(folder / "lock.json")
    partners = nearest_captions(split, ids=split.parts[Part.TEST])
    assert len(partners) == 6
    own = {id_: split.samples[id_].caption.rsplit(" ", 1)[0] for id_ in partners}
    alike = sum(own[id_] == own[other] for id_, other in partners.items())
    assert alike >= 4  # of six, in three kinds


def test_the_comparison_says_what_is_meant_by_a_class(compared, folder):
    """Catches: a comparison that speaks of classes which the data do not have, unsaid."""
    assert compared["compare"]["outcome"] == "undecided"
    (path,) = (folder / "results/reports").glob("*/comparison.json")
    found = load_comparison(path)
    notices = " ".join(found.notices)
    assert (
        "the data have captions alone: where classes are named, groups of captions are" in notices
    )
    assert found.pairs
    page = (path.parent / "index.html").read_text()
    assert "By group of captions" in page
    assert "with the nearest caption" in page
    assert "mismatched sound by chance" in page
