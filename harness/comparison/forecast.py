"""What the missing runs of a comparison will take, from the finished runs there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import DataError
from harness.records.folders import ResultsFolder
from harness.records.record import RunRecord, Status, load_record
from harness.run.plan import PlannedRun
from harness.wording.numbers import duration

_CHANGES_NO_TIME = ("corpus_seed", "split_seed")
"""Settings of the data that leave the work as much as it was."""


@dataclass(frozen=True)
class Forecast:
    """Hours and money of the missing runs."""

    missing: dict[str, int]
    """Branch to its runs that are still to be made."""
    seconds_per_run: dict[str, float]
    """Branch to the mean of its finished runs with the same schedule; a branch without is not
    in it."""
    measured_on: tuple[str, ...]
    """Devices of those runs."""
    jobs: int
    """Runs at a time."""
    price_per_hour: float | None
    """Price of the machine."""

    @property
    def unknown(self) -> list[str]:
        """Branches that nothing is known of."""
        return [name for name, n in self.missing.items() if n and name not in self.seconds_per_run]

    @property
    def hours(self) -> float | None:
        """Hours on the clock; None while a branch is unknown."""
        if self.unknown:
            return None
        total = sum(n * self.seconds_per_run[name] for name, n in self.missing.items() if n)
        at_a_time = max(1, min(self.jobs, sum(self.missing.values())))
        return total / at_a_time / 3600

    def sentence(self) -> str:
        """Hours and money in words."""
        if not sum(self.missing.values()):
            return "Nothing is left to run."
        hours = self.hours
        if hours is None:
            return (
                f"How long they take is unknown: no finished run of {', '.join(self.unknown)} "
                "has this schedule."
            )
        at_a_time = "one at a time" if self.jobs == 1 else f"{self.jobs} at a time"
        devices = ", ".join(self.measured_on)
        words = f"About {duration(hours * 3_600)}, {at_a_time}, by the finished runs (on {devices})"
        if self.price_per_hour is not None:
            words += f"; {hours * self.price_per_hour:.2f} at {self.price_per_hour:g} an hour"
        return words + "."


def forecast(
    missing: Sequence[PlannedRun], *, results: Path, jobs: int, price_per_hour: float | None
) -> Forecast:
    """What the runs in `missing` will take, from the records below `results`."""
    counts: dict[str, int] = {}
    for run in missing:
        counts[run.identity.variant] = counts.get(run.identity.variant, 0) + 1
    records = _finished(results)
    seconds: dict[str, float] = {}
    devices: set[str] = set()
    for name in counts:
        planned = next(run for run in missing if run.identity.variant == name)
        alike = [r for r in records if _is_alike(r, planned)]
        if alike:
            seconds[name] = sum(r.total_seconds for r in alike) / len(alike)
            devices |= {r.cost.device for r in alike if r.cost.device is not None}
    return Forecast(counts, seconds, tuple(sorted(devices)), jobs, price_per_hour)


def _finished(results: Path) -> list[RunRecord]:
    records = []
    for path in ResultsFolder(results).run_records:
        try:
            record = load_record(path)
        except DataError:
            continue  # `harness list --runs` names it; an estimate needs it not
        cost = record.cost
        is_timed = bool(cost.seconds) and cost.device is not None
        if record.status is Status.FINISHED and is_timed:
            records.append(record)
    return records


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
