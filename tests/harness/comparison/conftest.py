"""One real run analysed as if it were many."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.comparison.analysis import analyse
from harness.comparison.record import ComparisonRecord
from harness.comparison.runs import LoadedRun
from harness.records.record import RunRecord
from tests.harness.comparison.made_records import METRIC


@pytest.fixture
def compared(finished: Any, tmp_path: Path) -> Callable[[list[RunRecord]], ComparisonRecord]:
    """Analyses records as if each lay where the one real run lies."""

    def call(records: list[RunRecord]) -> ComparisonRecord:
        return analyse(
            [LoadedRun(record, finished.folder) for record in records],
            metric=METRIC,
            folder=tmp_path / "reports" / "one",
            command="harness compare",
        )

    return call
