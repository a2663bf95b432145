"""How much of its card's peak a run reached."""

from typing import Any

import pytest

from harness.costs.cards import load_cards
from harness.costs.known import shipped_work
from harness.costs.peak import share_of_peak
from harness.costs.work import work_key
from harness.run.plan import PlannedRun, plan_run
from harness.wording.display import Display


@pytest.fixture
def planned(finished: Any) -> PlannedRun:
    """The plan of the run that was made for the session."""
    return plan_run(finished.request, display=Display())


def test_the_share_is_flops_over_time_and_peak(finished: Any, planned: PlannedRun) -> None:
    """Catches: a share of another card, of one stage, or one that is told of a CPU."""
    record = finished.record
    assert share_of_peak(record) is None
    on_card = record.model_copy(
        update={
            "cost": record.cost.model_copy(update={"device": "NVIDIA GeForce RTX 4090"}),
            "stages": [s.model_copy(update={"device_seconds": 2.0}) for s in record.stages],
        }
    )
    key = work_key("baseline", profile=planned.profile, config=planned.config)
    work = shipped_work()[key]
    flops = sum(work.stages[stage.stage].flops * stage.samples_seen for stage in record.stages)
    peak = load_cards().cards["RTX 4090"].fp32_tflops * 1e12
    seconds = 2.0 * len(record.stages)
    assert flops > 0
    assert share_of_peak(on_card) == pytest.approx(flops / seconds / peak)
    other = record.identity.model_copy(update={"variant_config": {"num_tokens": 999}})
    assert share_of_peak(on_card.model_copy(update={"identity": other})) is None
