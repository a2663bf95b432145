"""What `--dry-run` prints of a run."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from core.errors import UsageError
from harness.costs.clips import Clips
from harness.costs.dry import DryRun
from harness.costs.span import Span
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
    parts: list[RenderableType] = [table, *lacks(found.missing, unread=found.unread)]
    if found.changed:
        parts += [Text(""), _changed(found)]
    return Group(*parts)


def dry_run_data(found: DryRun) -> dict[str, Any]:
    """The same for scripts, with every setting; None for what is not known while models or data
    are missing."""
    planned = found.planned
    return {
        "status": None,
        "steps": found.steps,
        "batch_size": found.batch_size,
        "variant_config": found.config.model_dump(mode="json"),
        **({} if planned is None else _planned_data(planned)),
        "variant": found.request.variant,
        "profile": found.request.profile,
        "seed": found.request.seed,
        "run_id": None if planned is None else planned.identity.run_id,
        "missing": list(found.missing),
        "unread": found.unread,
        "device": device_words(found),
        "seconds": None if found.time is None else (found.time.each + found.time.shared).data(),
        "price_per_hour": found.profile.hardware.price_per_hour,
        "basis": None if found.time is None else found.time.basis,
        "disk_bytes": found.disk_bytes,
        "changed": {name: value for name, (value, _) in found.changed.items()},
    }


def _planned_data(planned: PlannedRun) -> dict[str, Any]:
    return {
        "status": _status(planned),
        "split": planned.identity.split_hash,
        "samples": {str(part): len(ids) for part, ids in planned.prepared.split.parts.items()},
        "settings": planned.identity.settings,
        "folder": str(planned.folder),
        "training_id": planned.identity.training_id,
    }


def _rows(found: DryRun) -> dict[str, str]:
    request, planned, profile = found.request, found.planned, found.profile
    training, clips = profile.training, found.clips
    steps = " + ".join(f"{n:,}" for n in found.steps.values())
    rows = {
        "run": "its id depends on what is missing or unread"
        if planned is None
        else planned.identity.run_id,
        "what": f"{request.variant}, profile {request.profile}, seed {request.seed}",
    }
    if planned is not None:
        rows["status"] = f"{_status(planned)}, in {planned.folder}"
    rows |= {
        "device": device_words(found),
        "clips": clips_words(clips),
        "steps": f"{steps} of {training.micro_batch * training.accumulation} samples "
        f"({training.micro_batch} x {training.accumulation})",
        "time": "unknown; `harness plan` estimates it for rented cards",
        "disk": "" if found.disk_bytes is None else f"{size(found.disk_bytes)} at most",
    }
    if found.time is not None:
        span = found.time.each + found.time.shared
        rows["time"] = f"{span_words(span)}, by {found.time.basis}"
        if (price := profile.hardware.price_per_hour) is not None:
            rows["dollars"] = dollars_words(span, price=price)
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


def lacks(missing: Sequence[str], *, unread: str | None) -> list[RenderableType]:
    """What keeps it from running, and what is not known before it runs."""
    parts: list[RenderableType] = []
    if missing:
        parts += [Text(""), Text("Missing, so that it would not run:", style="bold")]
        parts += [Text(f"- {plain(line)}") for line in missing]
    if unread is not None:
        parts += [Text(""), Text(f"Not known yet: {plain(unread)}.")]
    return parts


def clips_words(clips: Clips) -> str:
    """How many by part, and whence."""
    return (
        f"{clips.train:,} to train on, {clips.val:,} to validate, {clips.test:,} to test "
        f"({clips.source})"
    )


def span_words(span: Span) -> str:
    """Seconds as a duration, with the ends between which it should lie."""
    return f"about {duration(span.mid)} ({duration(span.low)} to {duration(span.high)})"


def dollars_words(seconds: Span, *, price: float) -> str:
    """What so many seconds cost."""
    cost = seconds.times(price / 3600)
    return f"about {cost.mid:.2f} ({cost.low:.2f} to {cost.high:.2f}), at {price:g} an hour"


def _status(planned: PlannedRun) -> str:
    if planned.finished_record is not None:
        return "finished"
    return "started" if planned.folder.is_dir() else "new"


def device_words(found: DryRun) -> str:
    """What it would run on, or why it would not."""
    try:
        from harness.run.device import device_sentence, require_fit_device
    except ImportError:
        return "unknown: torch is not installed"
    try:
        device = require_fit_device(found.profile, asked=found.request.device)
    except UsageError as error:
        return f"none: {error}"
    return device_sentence(device)
