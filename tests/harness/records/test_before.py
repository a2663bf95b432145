"""Records that earlier versions wrote, kept as they wrote them (`tests/data/records_before`)."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from core.data.splits.split import load_split
from harness.comparison.evidence import Looks
from harness.comparison.record import load_comparison
from harness.records.record import load_record
from harness.sweep.record import load_sweep

KEPT = Path(__file__).parents[2] / "data" / "records_before" / "results"
RUNS = sorted(KEPT.glob("*/*/record.json.gz"))

ADDED: dict[str, Any] = {
    "results": None,
    "cost.dollars": None,
    "cost.sessions": [],
    "commits": {},
    "split.kind": "classes",
    "evaluation.foreign_metrics": {},
}
"""Fields that every run's record has since, with the value that one without them reads as."""
ADDED_TO_STAGES: dict[str, Any] = {"skipped_steps": 0, "unmoved": 0, "is_recorded": False}
"""The same of each of its stages."""
ADDED_TO_UNSCORED: dict[str, Any] = {
    "evaluation.extractors": {},
    "evaluation.per_class": {},
    "evaluation.distance_curves": [],
    "evaluation.nearest_training": None,
}
"""The same of a run that was not scored, whose `evaluation` was an empty table."""

ADDED_TO_SWEEPS: dict[str, Any] = {
    "storage_url": None,
    "test_seeds": 0,
    "comparison.metric_without_hearing": None,
}
ADDED_TO_PAIRS: dict[str, Any] = {
    "population": "these_clips",
    "simultaneous": None,
    "sd_interval": None,
    "why_no_detectable": None,
    "adjusted_both_p": None,
    "other_clips": None,
    "other_classes": None,
    "variance": None,
    "selection": None,
}
"""The same of each pair of a comparison, the secondary metrics' too."""
ADDED_TO_COMPARISONS: dict[str, Any] = {
    "certificates": [],
    "population": "these_clips",
    "trainings": None,
    "to_add": None,
    "listening": [],
    "near_real": [],
    "basis": None,
}
SPENT = {"allowed": None, "planned": None, "step_cost": None}
"""The same of each run's budget in a comparison that was made by samples."""
SHARED = {"amount": None, "largest_shortfall": None}
"""The same of the budget that all of its runs have."""


@pytest.fixture
def unpacked(tmp_path: Path):
    """Unpacks a kept file where a results folder has it; gives its path."""

    def unpack(kept: Path) -> Path:
        path = tmp_path / "results" / kept.relative_to(KEPT).with_suffix("")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.decompress(kept.read_bytes()))
        return path

    return unpack


def with_added(content: dict[str, Any], added: dict[str, Any]) -> dict[str, Any]:
    """The JSON value of a record as it reads with the fields that came since."""
    for place, value in added.items():
        *parents, last = place.split(".")
        part = content
        for parent in parents:
            part = part[parent]
        assert last not in part, f"{place} was there before"
        part[last] = value
    return content


@pytest.mark.parametrize("kept", RUNS, ids=[path.parent.name for path in RUNS])
def test_a_run_of_before_loads_and_is_written_back_as_it_was(kept, unpacked, tmp_path):
    """Catches: a field that is renamed, retyped, dropped or rounded while old runs are on disk."""
    path = unpacked(kept)
    written = load_record(path).save(tmp_path / "again")
    before = json.loads(path.read_bytes())
    for stage in before["stages"]:
        with_added(stage, ADDED_TO_STAGES)
    added = ADDED if before["evaluation"] else ADDED | ADDED_TO_UNSCORED
    after = json.loads(written.read_bytes())
    assert after.pop("files") == {}  # which it wrote before their hashes were kept
    assert after.pop("checksum")  # of the file that is written now
    assert after == with_added(before, added)


def test_a_comparison_of_before_loads_and_is_written_back_as_it_was(unpacked, tmp_path):
    """Catches: a comparison made once that can no longer be shown, or changes when it is."""
    path = unpacked(KEPT / "reports" / "golden" / "comparison.json.gz")
    written = load_comparison(path).save(tmp_path / "again")
    before = json.loads(path.read_bytes())
    with_added(before["eligibility"]["budget"], SHARED)
    for run in before["runs"]:
        with_added(run, {"record_sha256": None})
        with_added(run["budget"], SPENT)
    for pair in [*before["pairs"], *before["secondary"]]:
        with_added(pair, ADDED_TO_PAIRS)
    for row in before["power"]:
        with_added(row, {"headline_sd": None, "tie_sd": None})
    after = json.loads(written.read_bytes())
    assert after.pop("looks") == Looks().model_dump(mode="json")  # nobody had counted them
    assert after == with_added(before, ADDED_TO_COMPARISONS)


def test_a_sweep_of_before_loads_and_is_written_back_as_it_was(unpacked, tmp_path):
    """Catches: a sweep that cannot be gone on with, or whose trials change when it is read."""
    path = unpacked(KEPT / "sweeps" / "goldsweep" / "sweep.json.gz")
    written = load_sweep(path.parent).save(tmp_path / "again")
    before = json.loads(path.read_bytes())
    assert json.loads(written.read_bytes()) == with_added(before, ADDED_TO_SWEEPS)


def test_a_lock_of_before_loads_and_is_written_back_byte_for_byte(unpacked):
    """Catches: a split whose hash or file changes, so that no run on it can be compared."""
    path = unpacked(KEPT / "data" / "embedded-corpus-seed0" / "split.json.gz")
    facts = json.loads(path.read_bytes())["facts"]
    again = path.with_name("again.json")
    load_split(path).save(again, facts=facts)
    assert again.read_bytes() == path.read_bytes()
