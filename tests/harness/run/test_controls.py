"""The controls from end to end: what a report draws as the floor and the ceiling."""

from collections.abc import Callable

import pytest

from harness.records.record import RunRecord, Status
from harness.run.plan import RunRequest
from harness.run.run import run
from harness.wording.display import Display


@pytest.fixture(scope="module")
def records(small_request: Callable[..., RunRequest], one_thread: None) -> dict[str, RunRecord]:
    names = ("text_only", "class_embedding")
    return {name: run(small_request(variant=name), display=Display()) for name in names}


def test_text_only_is_scored_on_the_caption_alone(records: dict[str, RunRecord]) -> None:
    """Catches: a floor without a headline number, or one that trained nothing unnoticed."""
    record = records["text_only"]
    assert record.status is Status.FINISHED
    assert record.arms.keys() == {"text_only", "real"}
    assert record.metrics["listening_rank"].arm == "text_only"
    assert record.value("listening_rank") is not None
    assert record.controls == []
    assert [stage.steps_done for stage in record.stages] == [0, 2, 0]
    assert record.parameters["audio"] == record.parameters["gates"] == 0
    told = [notice for notice in record.notices if "has nothing to train" in notice]
    assert [notice.split(":")[0] for notice in told] == ["stage1", "stage3"]


def test_class_embedding_is_scored_with_and_without_its_class(
    records: dict[str, RunRecord],
) -> None:
    """Catches: a ceiling that is never sampled with what it knows."""
    record = records["class_embedding"]
    assert record.status is Status.FINISHED
    assert record.arms.keys() == {"audio", "text_only", "real"}
    assert record.metrics["listening_rank"].arm == "audio"
    assert {margin.control for margin in record.controls} == {"text_only"}
    assert [stage.steps_done for stage in record.stages] == [2, 2, 1]
    assert not any("has nothing to train" in notice for notice in record.notices)
