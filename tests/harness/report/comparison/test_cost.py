"""What a branch costs, as the report tells it."""

from typing import Any

import pytest

from harness.comparison.runs import LoadedRun
from harness.records.record import load_record
from harness.report.comparison.facts import Facts, ReportRun
from harness.report.comparison.sections.cost import cost_points


def test_a_branch_with_runs_without_a_time_keeps_its_quality(results: Any) -> None:
    """Catches: a branch worth what its timed runs are."""
    runs = []
    for place, folder in enumerate(results.runs):
        record = load_record(folder)
        if place > 1:
            cost = record.cost.model_copy(update={"seconds": {}})
            record = record.model_copy(update={"cost": cost})
        runs.append(ReportRun(LoadedRun(record, folder)))
    facts = Facts(name="x", folder=results.root, runs=tuple(runs))
    assert facts.primary is not None
    for point in cost_points(facts):
        own = [run.value(facts.primary.name) for run in facts.of_branch(point.name)]
        assert len(own) > len(point.runs) > 0
        assert point.quality == pytest.approx(sum(own) / len(own))
