"""Memory of this machine that a run on a CPU takes: measured by a finished run, or estimated.

The estimate counts weights, gradients and moments, and takes what a sample adds from the cards'
(`harness.costs.memory`). Measured once each: three runs of `tiny` that were not scored on the test
clips peaked at 0.71 to 0.76 GB, one that was at 0.85; nearly all of it is the libraries. No run of
SD v1.5's size on a CPU was measured.
"""

from collections.abc import Sequence
from pathlib import Path

from core.choices import Precision
from harness.costs.known import known_work
from harness.costs.memory import training_bytes
from harness.costs.observed import observed_runs
from harness.run.plan import PlannedRun

_PROCESS = 0.85e9
"""Bytes of Python with torch, diffusers and transformers: the peak of that scored run."""
_MEASURED_MARGIN = 1.1


def host_bytes(planned: Sequence[PlannedRun], *, results: Path) -> float | None:
    """Bytes that the largest of these runs takes on a CPU, about.

    None where none of the branches has a finished run or a count of its work that ships.
    """
    records = [r for r in observed_runs(results) if r.cost.device == "cpu"]
    needs: list[float | None] = []
    for run in {run.identity.variant: run for run in planned}.values():
        alike = [
            float(record.cost.peak_memory_bytes)
            for record in records
            if record.cost.peak_memory_bytes is not None
            and record.identity.variant == run.identity.variant
            and _size(record.identity.settings) == _size(run.identity.settings)
        ]
        needs.append(max(alike) * _MEASURED_MARGIN if alike else _estimated(run))
    return max((need for need in needs if need is not None), default=None)


def _estimated(run: PlannedRun) -> float | None:
    work = known_work(run.registration, profile=run.profile, config=run.config)
    if work is None:
        return None
    training = run.profile.training
    is_full = Precision.FLOAT32 in (training.precision, run.profile.foundation.dtype)
    precision = Precision.FLOAT32 if is_full else training.precision
    return _PROCESS + training_bytes(work, precision=precision, micro_batch=training.micro_batch)


def _size(settings: dict[str, object]) -> list[object]:
    """The settings that memory depends on."""
    training = settings.get("training")
    own = training if isinstance(training, dict) else {}
    return [
        *(settings.get(name) for name in ("foundation", "scorers", "lora", "ssf")),
        *(own.get(name) for name in ("micro_batch", "precision")),
    ]
