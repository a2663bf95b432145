"""What a comparison may take of a machine, and each run's share of what the machine costs."""

import time
from collections.abc import Sequence
from dataclasses import replace

from core.training.interrupts import InterruptFlag
from harness.comparison.request import CompareRequest
from harness.records.processes import SessionFacts
from harness.run.limit import SpendingLimit, spent_before
from harness.run.plan import PlannedRun
from harness.settings.profile import HardwareSettings


def spending_limit(request: CompareRequest, *, sessions: Sequence[SessionFacts]) -> SpendingLimit:
    """The limit on all of the comparison's time on this machine, from now on.

    sessions: the processes that worked on it before.

    Raises:
        UsageError: a limit in dollars without a price, or one that is not above 0.
    """
    hardware = HardwareSettings(
        price_per_hour=request.price_per_hour,
        max_hours=request.max_hours,
        max_cost=request.max_cost,
    )
    before = spent_before(sessions, price_per_hour=request.price_per_hour)
    return SpendingLimit(hardware, before=before, started=time.monotonic(), flag=InterruptFlag())


def run_at_its_share(planned: PlannedRun, *, of: int) -> PlannedRun:
    """The run at its price among so many at a time, which together cost what the machine does."""
    price = planned.profile.hardware.price_per_hour
    if price is None or of == 1:
        return planned
    item = f"hardware.price_per_hour={price / of!r}"
    request = replace(planned.request, overrides=(*planned.request.overrides, item))
    return replace(planned, request=request)
