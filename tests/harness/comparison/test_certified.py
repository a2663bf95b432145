"""Claims about listening, and scorers that are at chance for them."""

from pathlib import Path
from typing import Any

import pytest

from core.errors import DataError
from harness.comparison.analysis import analyse
from harness.comparison.certified import certificates_of, task_of
from harness.comparison.record import ComparisonRecord
from harness.comparison.runs import LoadedRun
from harness.comparison.summary import listening
from harness.metrics.registry import METRICS
from harness.records.certificate import Certificate, Task, Told
from harness.records.folders import ResultsFolder
from harness.records.record import RunRecord

CHANCE = Told(rate=0.51, low=0.44, high=0.58, p=0.4, num_clips=67)
TOLD = Told(rate=0.9, low=0.85, high=0.95, p=0.0002, num_clips=67, is_told=True)


def certificate(
    record: RunRecord, metric: str, *, within: Told, across: Told = TOLD
) -> Certificate:
    task = task_of(METRICS[metric])
    assert task is not None
    value = record.metrics[metric]
    assert value.extractor is not None
    assert value.extractor_hash is not None
    return Certificate(
        task=task,
        scorer=value.extractor,
        scorer_hash=value.extractor_hash,
        split_hash=record.identity.split_hash,
        part="test",
        window_s=3.0,
        num_clips=67,
        num_classes=8,
        across=across,
        within=within,
        code="c",
        created_at="2026-01-01T00:00:00+00:00",
    )


@pytest.fixture
def concluded(finished: Any, tmp_path: Path) -> Any:
    """Two branches of the one real run, analysed with certificates."""

    def call(*certificates: Certificate, metric: str = "listening_rank") -> ComparisonRecord:
        record = finished.record
        of_other = record.identity.model_copy(update={"variant": "sonic"})
        other = record.model_copy(update={"identity": of_other, "run_id": of_other.run_id})
        return analyse(
            [LoadedRun(one, finished.folder) for one in (record, other)],
            metric=metric,
            folder=tmp_path / "reports" / "one",
            command="harness compare",
            certificates=certificates,
        )

    return call


def test_no_claim_of_mismatched_sound_rests_on_a_scorer_at_chance(
    finished: Any, concluded: Any
) -> None:
    """Catches: "shown in every training" by a judge that tells classes and not clips."""
    at_chance = [
        certificate(finished.record, name, within=CHANCE)
        for name in ("listening_rank", "attribute_error")
    ]
    found = concluded(*at_chance)
    assert [row.refused is not None for row in found.listening] == [True, True]
    assert all((row.num_above, row.num_below, row.mean) == (0, 0, None) for row in found.listening)
    (sentence,) = listening(found.listening)
    assert sentence.startswith("Not claimed of any branch: embedded:image_judge")
    assert "within a class" in sentence
    assert "0.51, 95% interval 0.44 to 0.58, 67 clips; chance 0.50" in sentence
    assert found.verdict.startswith("undecided: listening_rank cannot rank here (embedded:image_")
    assert [pair.metric for pair in found.pairs if pair.winner] == []
    assert found.certificates == at_chance


def test_another_scorer_that_tells_speaks_in_its_place(finished: Any, concluded: Any) -> None:
    """Catches: silence on listening where a certified metric could say it."""
    found = concluded(
        certificate(finished.record, "listening_rank", within=CHANCE),
        certificate(finished.record, "attribute_error", within=TOLD),
    )
    assert {row.metric for row in found.listening} == {"attribute_error"}
    assert all(row.refused is None for row in found.listening)


def test_a_scorer_that_tells_changes_nothing(finished: Any, concluded: Any) -> None:
    """Catches: a certificate that moves a number of a comparison."""
    plain = concluded()
    told = concluded(certificate(finished.record, "listening_rank", within=TOLD))
    ignored = {"created_at", "certificates"}
    assert told.model_dump(exclude=ignored) == plain.model_dump(exclude=ignored)
    assert plain.listening
    assert plain.listening[0].refused is None


def test_classes_alone_are_enough_for_a_score_over_all_clips(finished: Any, concluded: Any) -> None:
    """Catches: `ais_win` forbidden to rank because its judge tells no clips within a class."""
    at_chance = certificate(finished.record, "ais_win", within=CHANCE)
    found = concluded(at_chance, metric="ais_win")
    assert "cannot rank" not in found.verdict
    deaf = certificate(finished.record, "ais_win", within=CHANCE, across=CHANCE)
    assert "of different classes apart" in concluded(deaf, metric="ais_win").verdict


def test_certificates_are_found_by_the_hashes_of_the_numbers(finished: Any, tmp_path: Path) -> None:
    """Catches: a certificate of other weights or another split applied to these runs."""
    folder = ResultsFolder(tmp_path).certificates
    own = certificate(finished.record, "listening_rank", within=CHANCE)
    assert certificates_of([finished.record], results=tmp_path) == []
    own.save(folder)
    own.model_copy(update={"scorer_hash": "other"}).save(folder)
    own.model_copy(update={"split_hash": "other"}).save(folder)
    own.model_copy(update={"task": Task.PICTURE}).save(folder)
    assert certificates_of([finished.record], results=tmp_path) == [own]
    (folder / f"{own.identity}.json").write_text("{}")
    with pytest.raises(DataError, match="harness scorers check"):
        certificates_of([finished.record], results=tmp_path)
