"""`harness scorers check`, from the command to the pages that read its certificates."""

import json
from pathlib import Path
from typing import Any

from harness.records.certificate import Task, load_certificate
from tests.harness.processes import harness


def test_scorers_are_checked_on_a_split_and_stored(small_corpus: Path, tmp_path: Path) -> None:
    """Catches: a certificate on training clips, one that is not where runs look for it, or a word
    before the JSON object."""
    results = tmp_path / "results"
    words = ["scorers", "check", "--data", str(small_corpus), "--results", str(results)]
    done = harness(*words, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    (lock,) = results.glob("data/*/split.json")
    split = json.loads(lock.read_text())
    assert {one["split_hash"] for one in found["certificates"]} == {split["hash"]}
    assert [one["task"] for one in found["certificates"]] == [
        *("sound", "attributes", "caption", "picture", "picture")
    ]
    assert {one["num_clips"] for one in found["certificates"]} == {len(split["parts"]["test"])}
    # One class has two clips and the others one: no scorer can be shown to tell two of a class.
    assert len(found["refused"]) == 2
    assert "within a class" in found["refused"][0]
    folder = results / "certificates"
    assert Path(found["folder"]) == folder
    for one in found["certificates"]:
        stored = load_certificate(folder, one["file"].removesuffix(".json"))
        assert stored is not None
        assert stored.task is Task(one["task"])
    shown = harness(*words)
    assert "refused: claims about mismatched sound of the same class" in shown.stdout
    assert "gain: half the amplitude" in shown.stdout
