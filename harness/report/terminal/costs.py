"""What `harness plan` prints."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.costs.matrix import DevicePlan, MatrixPlan
from harness.costs.span import Span
from harness.wording.numbers import count, listed, size


def matrix_view(plan: MatrixPlan) -> RenderableType:
    """The work, then hours, dollars and memory on each device, then what the numbers rest on."""
    request, clips = plan.request, plan.clips
    head = (
        f"{count(plan.num_runs, 'run')} of {request.profile}: "
        f"{count(len(plan.branches), 'branch', 'branches')} x {count(request.num_seeds, 'seed')}; "
        f"{clips.total:,} clips, {clips.train:,} to train on, {clips.val:,} to validate, "
        f"{clips.test:,} to test ({clips.source})"
    )
    parts: list[RenderableType] = [Text(head), Text(""), _branches(plan), Text("")]
    parts.append(_devices(plan))
    for device in plan.devices:
        parts += [Text(line) for line in _notes(device)]
    parts += [Text(""), Text(_disk(plan)), Text(""), *map(Text, _basis(plan))]
    return Group(*parts)


def _branches(plan: MatrixPlan) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("branch")
    for name in ("steps", "samples", "FLOPs", "trained"):
        table.add_column(name, justify="right")
    for branch in plan.branches:
        table.add_row(
            branch.variant,
            f"{branch.steps:,}",
            f"{branch.steps * branch.batch_size:,}",
            f"{branch.train_flops:.3g}",
            f"{branch.work.trainable:,}",
        )
    return table


def _devices(plan: MatrixPlan) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("device")
    for name in ("a run, h", f"all {plan.num_runs}, h", "dollars", "GPU GB", "batch"):
        table.add_column(name, justify="right")
    for device in plan.devices:
        if device.problem is not None:
            table.add_row(device.device, "", "", "", "", "")
            continue
        each = [time.each for time in device.runs.values()]
        low, high = min(s.mid for s in each) / 3600, max(s.mid for s in each) / 3600
        one, other = _number(low), _number(high)
        table.add_row(
            device.device,
            one if one == other else f"{one} to {other}",
            _span(device.total.times(1 / 3600)),
            "" if device.dollars is None else _span(device.dollars),
            "" if device.memory_need is None else f"{device.memory_need / 1e9:.1f}",
            "" if device.micro_batch is None else str(device.micro_batch),
        )
    return table


def _notes(device: DevicePlan) -> list[str]:
    """What must be known of one device beside its row."""
    if device.problem is not None:
        return [f"{device.device}: {device.problem}"]
    if device.settings:
        options = " ".join(f"--set {item}" for item in device.settings)
        return [f"{device.device}: pass {options} to every command"]
    return []


def _disk(plan: MatrixPlan) -> str:
    disk = plan.disk
    weights = "models of unknown size" if disk.weights is None else f"models {size(disk.weights)}"
    return (
        f"Disk: {size(disk.total)} at most: {weights}, cached features {size(disk.features)}, "
        f"runs {size(disk.runs)}; the Python environment and your media are not counted."
    )


def _basis(plan: MatrixPlan) -> list[str]:
    known = [device for device in plan.devices if device.problem is None]
    if not known:
        return []
    bases: dict[str, dict[str, None]] = {}
    for device in known:
        for branch, time in device.runs.items():
            bases.setdefault(time.basis, {})[branch] = None
    words = [f"{listed(branches)}: {basis}" for basis, branches in bases.items()]
    lines = [f"Times rest on, for {'; for '.join(words)}."]
    is_estimate = plan.bench is not None and any(plan.bench.card in basis for basis in bases)
    if is_estimate:
        lines.append(
            "Other cards: by the ratios of their matrix peaks and memory bandwidths, which no "
            "measurement has confirmed; the brackets say between what it should lie. `harness plan "
            "--measure` on the card itself is better than any of it."
        )
    lines.append(
        f"Dollars are hours x price; prices of {plan.cards_dated} that ship move by the week: "
        "pass yours with --price-per-hour or --cards FILE."
        if any(device.dollars is not None for device in known)
        else "Dollars: pass --price-per-hour."
    )
    return lines


def _span(span: Span) -> str:
    return f"{_number(span.mid)} ({_number(span.low)}-{_number(span.high)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2g}"
