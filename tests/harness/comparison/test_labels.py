"""Seventy clips of one to three sources, from the folder to a comparison of two branches."""

import json
import math

import pytest

from core.data.items import DataKind
from core.data.splits.split import Part, load_split
from core.embedded.corpus.folder import write_mixtures
from harness.comparison.record import load_comparison
from harness.metrics.arms import Arm
from harness.run.nearest_captions import nearest_captions
from tests.harness.comparison.made_data import (
    every_number_is_right_or_blank_with_its_reason,
    runs_of,
    take_to_a_comparison,
)

NUM_CLIPS = 70


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Mixtures with their labels."""
    root = tmp_path_factory.mktemp("labels")
    write_mixtures(root / "media", count=NUM_CLIPS)
    return root


@pytest.fixture(scope="module")
def compared(folder, one_thread):
    """What each command said, from ingest to the comparison."""
    return take_to_a_comparison(folder)


@pytest.fixture(scope="module")
def runs(compared, folder):
    """The two runs by branch."""
    return runs_of(folder)


def test_nothing_is_dropped_capped_or_made_a_class(compared, folder):
    """Catches: labels cut to one, clips left out or capped on the way to the lock."""
    rows = json.loads((folder / "media/metadata.json").read_text())
    ingest, split = compared["ingest"], compared["split"]
    assert (ingest["kind"], ingest["kept"], ingest["excluded"]) == ("labels", NUM_CLIPS, 0)
    assert ingest["labels"] == len({label for row in rows for label in row["labels"]})
    assert sum(split["samples"].values()) == NUM_CLIPS
    assert (split["kind"], split["cap"]) == ("labels", None)
    lock = load_split(folder / "lock.json")
    labels = {row["video_id"]: tuple(row["labels"]) for row in rows}
    assert {id_: sample.labels for id_, sample in lock.samples.items()} == labels


def test_every_number_of_the_runs_is_right_or_blank_with_its_reason(runs, folder):
    """Catches: a score by class where there are labels, or a blank that does not say why."""
    assert set(runs) == {"baseline", "text_only"}
    lock = load_split(folder / "lock.json")
    tested = [lock.samples[id_] for id_ in lock.parts[Part.TEST]]
    for run in runs.values():
        assert run.record.split.kind is DataKind.LABELS
        every_number_is_right_or_blank_with_its_reason(run)
        assert run.record.arms["real"]["source_recall"].value > 0.9
        assert run.record.metrics["source_recall"].n == len(tested)
        assert run.record.metrics["aic"].value is not None
        # By label, and a clip counts at each of its own.
        by_label = run.record.evaluation.per_class["real"]["clip_score"]
        assert {name: value.n for name, value in by_label.items()} == {
            label: sum(label in sample.labels for sample in tested)
            for label in {label for sample in tested for label in sample.labels}
        }
        assert "carry no attribute" in run.record.metrics["attribute_error"].reason


def test_a_clip_hears_the_nearest_caption_and_one_by_chance(runs, folder):
    """Catches: the hard or the easy mismatched sound not sampled, or not held against the own."""
    record = runs["baseline"].record
    assert set(record.arms) == {*map(str, Arm), "real"}
    controls = {m.control for m in record.controls if m.metric == "source_recall"}
    assert controls == {"shuffled", "chance", "silence", "text_only"}
    lock = load_split(folder / "lock.json")
    tested = lock.parts[Part.TEST]
    partners = nearest_captions(lock, ids=tested)
    assert set(partners) == set(tested)
    assert all(id_ != other for id_, other in partners.items())


def test_the_comparison_has_recall_with_its_interval(compared, folder):
    """Catches: a page that leaves out what clips of several labels are read by, or speaks of
    classes which the data do not have, unsaid."""
    assert compared["compare"]["outcome"] == "undecided"
    (path,) = (folder / "results/reports").glob("*/comparison.json")
    found = load_comparison(path)
    assert "labels" in " ".join(found.notices)
    page = (path.parent / "index.html").read_text()
    assert "Label by label" in page
    effects = {pair.metric: pair.effect for pair in found.secondary}
    assert {"source_recall", "source_precision", "unnamed_source_recall"} <= set(effects)
    assert math.isfinite(effects["source_recall"])
