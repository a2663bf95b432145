"""A sweep on the terminal: trials by state, best against the defaults, files."""

from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.records.folders import SweepFolder
from harness.report.sweep.facts import SweepFacts, default_trial, num_counted
from harness.report.sweep.words import branch_sentence, caution, setting
from harness.sweep.record import BranchSweep, SweepRecord, TrialState
from harness.wording.numbers import count, duration, metric_label, plain, significant

_STATES = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED)
_OTHER = (TrialState.LOST, TrialState.WAITING, TrialState.RUNNING)


def sweep_view(record: SweepRecord, *, folder: Path) -> RenderableType:
    """What `harness show` prints of a sweep; names from files cannot move the cursor."""
    facts = SweepFacts(record, folder)
    asked = count(record.num_trials, "trial")
    parts: list[RenderableType] = [
        Text(f"{plain(record.name)}  {'finished' if facts.is_finished else 'not finished'}",
             style="bold"),
        Text(f"folder {folder}   profile {plain(record.profile)}   seed {record.seed}   "
             f"{asked} per branch   sampler {plain(record.sampler)}   pruner "
             f"{plain(record.pruner)}"),
        Text(""),
        _states(facts),
    ]  # fmt: skip
    for branch in facts.branches:
        parts += [Text(""), Text(branch_sentence(facts, branch))]
        if facts.best(branch) is not None:
            parts.append(_settings(facts, branch))
        if branch.front:
            front = ", ".join(str(number) for number in branch.front)
            parts.append(Text(f"not beaten in every metric by another trial: trials {front}"))
        if branch.test_runs:
            parts.append(Text(plain(facts.on_test[branch.variant].sentence)))
    if text := caution(facts):
        parts += [Text(""), Text(text, style="yellow")]
    if any(not branch.test_runs for branch in facts.branches):
        parts.append(Text(f"On the test clips: {plain(facts.test_command)}"))
    parts.append(Text(""))
    for name, path in _files(facts):
        parts.append(Text(f"{name:8}  {path}"))
    return Group(*parts)


def _states(facts: SweepFacts) -> Table:
    shown = [s for s in _OTHER if any(s.value in branch.counts for branch in facts.branches)]
    table = Table("branch", "counted", *(state.value for state in (*_STATES, *shown)), "steps",
                  "device time", box=None, pad_edge=False)  # fmt: skip
    for column in table.columns[1:]:
        column.justify = "right"
    for branch in facts.branches:
        known = [t.device_seconds for t in branch.trials if t.device_seconds is not None]
        is_known = len(known) == sum(t.steps > 0 or t.device_seconds is not None
                                     for t in branch.trials)  # fmt: skip
        table.add_row(
            Text(plain(branch.variant)),
            f"{num_counted(branch)} of {facts.record.num_trials}",
            *(str(branch.counts.get(state.value, 0)) for state in (*_STATES, *shown)),
            f"{sum(trial.steps for trial in branch.trials):,}",
            duration(sum(known)) if is_known else "",
        )
    return table


def _settings(facts: SweepFacts, branch: BranchSweep) -> Table:
    best, default = facts.best(branch), default_trial(branch)
    table = Table("", "best", "defaults", box=None, pad_edge=False)
    for metric in facts.record.metrics:
        values = [None if t is None else facts.value(t, metric) for t in (best, default)]
        table.add_row(metric_label(metric.name), *(significant(value) for value in values))
    for dimension in branch.space:
        cells = [
            setting(t.params[dimension.name]) if t and dimension.name in t.params else ""
            for t in (best, default)
        ]
        table.add_row(Text(plain(dimension.name)), *(Text(cell) for cell in cells))
    return table


def _files(facts: SweepFacts) -> list[tuple[str, Path]]:
    folder = SweepFolder(facts.folder)
    found = [("sweep", folder.record), ("report", folder.page)]
    found += [
        (plain(branch.variant), config)
        for branch in facts.branches
        if (config := facts.config(branch)) is not None
    ]
    return [(name, path) for name, path in found if path.is_file()]
