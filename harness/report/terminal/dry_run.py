"""What `--dry-run` prints of a run."""

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from core.errors import UsageError
from harness.costs.dry import DryRun
from harness.costs.span import Span
from harness.run.budget import schedule_of
from harness.run.plan import PlannedRun
from harness.wording.numbers import duration, size
from harness.wording.plain_text import plain


def dry_run_view(found: DryRun) -> RenderableType:
    """What it is, what it takes, what is missing, and the settings that are not the default."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(found).items():
        table.add_row(name, Text(plain(value)))
    parts: list[RenderableType] = [table]
    if found.missing:
        parts += [Text(""), Text("Missing, so that it would not run:", style="bold")]
        parts += [Text(f"- {plain(line)}") for line in found.missing]
    if found.changed:
        parts += [Text(""), _changed(found)]
    return Group(*parts)


def dry_run_data(found: DryRun) -> dict[str, Any]:
    """The same for scripts, with every setting; None for what is not known while models or data
    are missing."""
    planned = found.planned
    return {
        **({} if planned is None else _planned_data(planned)),
        "variant": found.request.variant,
        "profile": found.request.profile,
        "seed": found.request.seed,
        "run_id": None if planned is None else planned.identity.run_id,
        "missing": list(found.missing),
        "device": _device(found),
        "seconds": None if found.time is None else (found.time.each + found.time.shared).data(),
        "basis": None if found.time is None else found.time.basis,
        "disk_bytes": found.disk_bytes,
        "changed": {name: value for name, (value, _) in found.changed.items()},
    }


def _planned_data(planned: PlannedRun) -> dict[str, Any]:
    return {
        "status": _status(planned),
        "split": planned.identity.split_hash,
        "samples": {str(part): len(ids) for part, ids in planned.prepared.split.parts.items()},
        "steps": {stage.name: stage.steps for stage in planned.plan.stages},
        "batch_size": planned.plan.batch_size,
        "settings": planned.identity.settings,
        "variant_config": planned.identity.variant_config,
        "folder": str(planned.folder),
        "training_id": planned.identity.training_id,
    }


def _rows(found: DryRun) -> dict[str, str]:
    request, planned, profile = found.request, found.planned, found.profile
    training, clips = profile.training, found.clips
    schedule = schedule_of(profile)
    steps = " + ".join(f"{n:,}" for n in schedule.values())
    rows = {
        "run": "its id depends on what is missing" if planned is None else planned.identity.run_id,
        "what": f"{request.variant}, profile {request.profile}, seed {request.seed}",
    }
    if planned is not None:
        rows["status"] = f"{_status(planned)}, in {planned.folder}"
    rows |= {
        "device": _device(found),
        "clips": f"{clips.train:,} to train on, {clips.val:,} to validate, {clips.test:,} to test "
        f"({clips.source})",
        "steps": f"{steps} of {training.micro_batch * training.accumulation} samples "
        f"({training.micro_batch} x {training.accumulation})",
        "time": "unknown; `harness plan` estimates it for rented cards",
        "disk": "" if found.disk_bytes is None else f"{size(found.disk_bytes)} at most",
    }
    if found.time is not None:
        rows["time"] = f"{_span(found.time.each + found.time.shared)}, by {found.time.basis}"
    return {name: value for name, value in rows.items() if value}


def _changed(found: DryRun) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("setting", overflow="fold")
    table.add_column("here", overflow="fold")
    table.add_column("default", overflow="fold")
    for name, (value, default) in found.changed.items():
        table.add_row(name, _word(value), _word(default))
    return table


def _word(value: Any) -> str:
    return "none" if value is None else plain(value)


def _span(span: Span) -> str:
    return f"about {duration(span.mid)} ({duration(span.low)} to {duration(span.high)})"


def _status(planned: PlannedRun) -> str:
    if planned.finished_record is not None:
        return "finished"
    return "started" if planned.folder.is_dir() else "new"


def _device(found: DryRun) -> str:
    """What it would run on, or why it would not."""
    from harness.run.device import device_sentence, require_fit_device

    try:
        device = require_fit_device(found.profile, asked=found.request.device)
    except UsageError as error:
        return f"none: {error}"
    return device_sentence(device)
