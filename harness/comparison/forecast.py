"""What the missing runs of a comparison will take: by finished runs, else by the plan."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.costs.clips import clips_of_split
from harness.costs.expected import expected_time
from harness.costs.observed import observed_runs
from harness.costs.span import NOTHING, Span
from harness.records.record import RunRecord
from harness.run.plan import PlannedRun
from harness.wording.numbers import duration, listed

_CHANGES_NO_TIME = ("corpus_seed", "split_seed")
"""Settings of the data that leave the work as much as it was."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Hours and money of the missing runs."""

    missing: dict[str, int]
    """Branch to its runs that are still to be made."""
    seconds_per_run: dict[str, Span]
    """Branch to the seconds of one of them; a branch of which nothing is known is not in it."""
    jobs: int
    """Runs at a time."""
    price_per_hour: float | None
    """Price of the machine."""
    measured_on: tuple[str, ...] = ()
    """Devices of the finished runs with the same schedule."""
    estimated_by: tuple[str, ...] = field(default=())
    """What the seconds of the other branches rest on."""

    @property
    def unknown(self) -> list[str]:
        """Branches that nothing is known of."""
        return [name for name, n in self.missing.items() if n and name not in self.seconds_per_run]

    @property
    def span(self) -> Span | None:
        """Seconds on the clock; None while a branch is unknown."""
        if self.unknown:
            return None
        total = NOTHING
        for name, n in self.missing.items():
            if n:
                total += self.seconds_per_run[name].times(n)
        at_a_time = max(1, min(self.jobs, sum(self.missing.values())))
        return total.times(1 / at_a_time)

    @property
    def hours(self) -> float | None:
        """Hours on the clock that are expected; None while a branch is unknown."""
        return None if self.span is None else self.span.mid / 3600

    def sentence(self) -> str:
        """Hours and money in words."""
        if not sum(self.missing.values()):
            return "Nothing is left to run."
        span = self.span
        if span is None:
            return (
                f"How long they take is unknown: no finished run of {', '.join(self.unknown)} "
                "has this schedule; `harness plan --measure` measures a few steps."
            )
        at_a_time = "one at a time" if self.jobs == 1 else f"{self.jobs} at a time"
        reasons = []
        if self.measured_on:
            reasons.append(f"the finished runs (on {', '.join(self.measured_on)})")
        if self.estimated_by:
            reasons.append(f"an estimate ({listed(self.estimated_by)})")
        words = f"About {duration(span.mid)}{_range(span)}, {at_a_time}, by {' and '.join(reasons)}"
        if self.price_per_hour is not None:
            dollars = span.mid / 3600 * self.price_per_hour
            words += f"; {dollars:.2f} at {self.price_per_hour:g} an hour"
        return words + "."


def forecast(
    missing: Sequence[PlannedRun], *, results: Path, jobs: int, price_per_hour: float | None
) -> Forecast:
    """What the runs in `missing` will take, from the records below `results` or the plan."""
    firsts: dict[str, PlannedRun] = {}
    counts: dict[str, int] = {}
    for run in missing:
        firsts.setdefault(run.identity.variant, run)
        counts[run.identity.variant] = counts.get(run.identity.variant, 0) + 1
    records = observed_runs(results)
    seconds: dict[str, Span] = {}
    devices: set[str] = set()
    bases: set[str] = set()
    for name, planned in firsts.items():
        alike = [r for r in records if _is_alike(r, planned)]
        if alike:
            seconds[name] = Span.about(sum(r.total_seconds for r in alike) / len(alike))
            devices |= {r.cost.device for r in alike if r.cost.device is not None}
            continue
        found = expected_time(
            planned.registration,
            profile=planned.profile,
            config=planned.config,
            clips=clips_of_split(planned.prepared.split, source="its split"),
            results=results,
            device=planned.request.device,
        )
        if found is not None:
            seconds[name] = found.each + found.shared.times(1 / len(missing))
            bases.add(found.basis)
    return Forecast(
        missing=counts,
        seconds_per_run=seconds,
        jobs=jobs,
        price_per_hour=price_per_hour,
        measured_on=tuple(sorted(devices)),
        estimated_by=tuple(sorted(bases)),
    )


def _range(span: Span) -> str:
    if span.low == span.high:
        return ""
    return f" ({duration(span.low)} to {duration(span.high)})"


def _is_alike(record: RunRecord, planned: PlannedRun) -> bool:
    return record.identity.variant == planned.identity.variant and _schedule(
        record.identity.settings
    ) == _schedule(planned.identity.settings)


def _schedule(settings: dict[str, object]) -> dict[str, object]:
    """The settings that time depends on; the rest is rates and seeds."""
    kept = {}
    for section, values in settings.items():
        if section in {"foundation", "scorers", "training", "lora", "ssf", "sampling"}:
            kept[section] = values
        elif section.startswith("stage") and isinstance(values, dict):
            kept[section] = values.get("steps")
        elif section == "data" and isinstance(values, dict):
            kept[section] = {k: v for k, v in values.items() if k not in _CHANGES_NO_TIME}
    return kept
