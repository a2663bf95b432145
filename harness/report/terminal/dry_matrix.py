"""What `--dry-run` prints of a comparison and of a sweep."""

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.comparison.dry import DryComparison
from harness.comparison.forecast import Forecast
from harness.comparison.power import power_sentence
from harness.comparison.request import margins_text
from harness.costs.dry import DryRun
from harness.costs.standing import Standing
from harness.report.terminal.dry_run import (
    clips_words,
    device_words,
    dollars_words,
    lacks,
    span_words,
)
from harness.sweep.dry import DrySweep
from harness.wording.numbers import count, duration, few, listed, size
from harness.wording.plain_text import plain


def dry_comparison_view(found: DryComparison) -> RenderableType:
    """The question, what would run and what is reused, what it takes, what is missing."""
    request, first = found.request, found.branches[0]
    num_runs = request.num_seeds * len(request.variants)
    rows = {
        "what": f"{count(num_runs, 'run')} of {request.profile}: {listed(request.variants)}, "
        f"{count(request.num_seeds, 'seed')}",
        "folder": "its name depends on what is missing or unread"
        if found.folder is None
        else str(found.folder),
        "decides": f"{found.question.metric}. "
        f"{margins_text(found.question.margins, found.question.metric)}",
        "device": device_words(first),
        "clips": clips_words(first.clips),
        **_takes(found.forecast, disk=found.disk_bytes, price="--price-per-hour DOLLARS"),
    }
    if found.spent.seconds:
        rows["so far"] = _so_far(found)
    if found.limit_sentence is not None:
        rows["limit"] = found.limit_sentence
    parts: list[RenderableType] = [_facts(rows), Text(""), _runs(found)]
    parts += [Text(plain(line)) for line in _reused(found)] + [Text("")]
    parts.append(
        Text(
            power_sentence(
                request.num_seeds, num_branches=len(request.variants), looks=request.options.looks
            )
        )
    )
    parts += [Text(f"notice: {line}") for line in found.notices]
    return Group(*parts, *lacks(found.missing, unread=found.unread))


def dry_over_splits_view(found: Sequence[DryComparison]) -> RenderableType:
    """The same of each split, then how much there is of it in all."""
    parts: list[RenderableType] = []
    for seed, one in enumerate(found):
        parts += [Text(f"split {seed}", style="bold"), dry_comparison_view(one), Text("")]
    runs = sum(one.request.num_seeds * len(one.request.variants) for one in found)
    words = f"In all: {count(runs, 'run')} on {count(len(found), 'split')}"
    spans = [one.forecast.span for one in found]
    if all(span is not None for span in spans):
        seconds = sum(span.mid for span in spans if span is not None)
        words += f", about {duration(seconds)} one split after the other"
    return Group(*parts, Text(f"{words}."))


def dry_sweep_view(found: DrySweep) -> RenderableType:
    """What is searched, how many trials are left, what they take, what is missing."""
    request, first = found.request, found.branches[0].trial
    metrics = listed(metric.name for metric in request.metrics)
    rows = {
        "what": f"{count(request.num_trials, 'trial')} for each of {listed(request.variants)}, "
        f"profile {request.profile}, seed {request.seed}, searched for {metrics}",
        "folder": "its name depends on what is missing or unread"
        if found.folder is None
        else str(found.folder),
        "device": device_words(first),
        "clips": f"{first.clips.train:,} to train on, {first.clips.val:,} to validate "
        f"({first.clips.source})",
        **_takes(
            found.forecast,
            disk=found.disk_bytes,
            price="--set hardware.price_per_hour=DOLLARS",
        ),
    }
    table = Table(box=None, pad_edge=False)
    table.add_column("branch")
    for name in ("done", "left", "on test", "steps", "batch"):
        table.add_column(name, justify="right")
    for branch in found.branches:
        table.add_row(
            branch.trial.request.variant,
            str(branch.num_done),
            str(branch.num_left),
            str(branch.num_test_runs),
            _steps(branch.trial),
            str(branch.trial.batch_size),
        )
    parts: list[RenderableType] = [_facts(rows), Text(""), table]
    if found.settings.pruner != "none":
        parts.append(Text("Trials that are ended early take less."))
    parts += [Text(f"notice: {line}") for line in found.notices]
    return Group(*parts, *lacks(found.missing, unread=found.unread))


def _facts(rows: Mapping[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, Text(plain(value)))
    return table


def _takes(forecast: Forecast, *, disk: float | None, price: str) -> dict[str, str]:
    """price: the option that names it."""
    rows = {}
    span = forecast.span
    if not sum(forecast.missing.values()):
        rows["time"] = "nothing is left to run"
    elif span is None:
        rows["time"] = (
            f"unknown for {listed(forecast.unknown)}; `harness plan` estimates it for rented "
            "cards, `harness plan --measure` for this machine"
        )
    else:
        bases = [*(f"finished runs on {d}" for d in forecast.measured_on), *forecast.estimated_by]
        rows["time"] = f"{span_words(span)}, {forecast.jobs} at a time, by {listed(bases)}"
        known = forecast.price_per_hour
        rows["dollars"] = (
            f"not known: pass {price}" if known is None else dollars_words(span, price=known)
        )
    if disk:
        rows["disk"] = f"{size(disk)} more at most; models are not counted"
    return rows


def _so_far(found: DryComparison) -> str:
    words = duration(found.spent.seconds)
    return words if found.spent.dollars is None else f"{words}, {found.spent.dollars:.2f} dollars"


def _runs(found: DryComparison) -> Table:
    """A row for each branch."""
    table = Table(box=None, pad_edge=False)
    table.add_column("branch")
    names = [standing.value for standing in Standing] if found.is_known else ["runs"]
    for name in (*names, "steps", "batch"):
        table.add_column(name, justify="right")
    for dry in found.branches:
        variant = dry.request.variant
        numbers = (
            [str(found.count(variant, standing)) for standing in Standing]
            if found.is_known
            else [str(found.request.num_seeds)]
        )
        table.add_row(variant, *numbers, _steps(dry), str(dry.batch_size))
    return table


def _steps(dry: DryRun) -> str:
    return " + ".join(f"{n:,}" for n in dry.steps.values())


def _reused(found: DryComparison) -> list[str]:
    """What would go on and from where; a started run counts whole in the hours."""
    lines = []
    going = [
        f"{run.run_id} from step {run.step:,} of {run.total_steps:,}"
        for run in found.runs
        if run.standing is Standing.STARTED
    ]
    if going:
        lines.append(f"Goes on: {few(going, most=6)}; in the hours they count whole.")
    trained = [
        f"{run.run_id} at step {run.step:,} from {run.taken_from}"
        for run in found.runs
        if run.standing is Standing.TRAINED
    ]
    if trained:
        lines.append(f"Takes over the training: {few(trained, most=6)}; likewise.")
    return lines
