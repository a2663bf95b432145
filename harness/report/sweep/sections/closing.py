"""The last sections: what the sweep cannot say, and every trial."""

from harness.metrics.fit import VALIDATION_LOSS
from harness.report.page.content import (
    Blank,
    Bullets,
    Cell,
    Column,
    Command,
    Part,
    Section,
    Table,
)
from harness.report.sweep.facts import SweepFacts
from harness.report.sweep.sections.common import (
    run_cell,
    state_cell,
    trial_anchor,
    trial_cell,
    trial_id,
)
from harness.report.sweep.words import setting
from harness.sweep.record import BranchSweep
from harness.wording.numbers import count, duration, metric_label, plain, short_hash, significant


def limits(facts: SweepFacts) -> Section:
    """What limits every number, and the command that continues."""
    record = facts.record
    items = [
        f"Trials are scored on {count(record.num_validation, 'validation clip')} alone (split "
        f"{short_hash(record.split_hash)}); no trial reads the test clips.",
        f"Every trial trains with one seed ({record.seed}): a lead smaller than the variation "
        "between seeds is not a lead.",
        f"Sampler {plain(record.sampler)}, pruner {plain(record.pruner)}, seed {record.seed} of "
        f"the search; studies kept in {record.storage}: "
        + ", ".join(plain(branch.study) for branch in facts.branches)
        + ".",
        "With several workers the order in which trials end is not repeatable, and neither are "
        "the sampler's later proposals.",
    ]
    if record.pruner != "none":
        items.append(
            "A pruned trial was behind in validation loss at its step"
            + (
                ", regardless of its final value of the metric being optimised"
                if facts.metric.name != VALIDATION_LOSS
                else ""
            )
            + "; settings that learn slowly at first can be missed this way."
        )
    if record.profile == "tiny":
        items.insert(
            0,
            "Profile tiny tests the harness: its models are small and its clips are generated "
            "by a program. Settings found here do not carry over to Stable Diffusion.",
        )
    parts: list[Part] = [Bullets(tuple(items)), Command((plain(record.command),))]
    return Section("limits", "Limits, and the command", parts)


def all_trials(facts: SweepFacts) -> Section:
    """Every trial of every branch."""
    parts: list[Part] = []
    for branch in facts.branches:
        if branch.trials:
            parts.append(_table(facts, branch))
        else:
            parts.append(Blank(f"{plain(branch.variant)}: no trial has been started."))
    return Section("trials", "All trials", parts)


def _table(facts: SweepFacts, branch: BranchSweep) -> Table:
    numbers = {trial.number: trial for trial in branch.trials}
    has_error = any(trial.error for trial in branch.trials)
    has_retry = any(trial.retry_of is not None for trial in branch.trials)
    rows = []
    for trial in branch.trials:
        stands_for = numbers.get(trial.retry_of) if trial.retry_of is not None else None
        rows.append(
            (
                trial_cell(facts, branch, trial),
                state_cell(trial),
                *(Cell(significant(facts.value(trial, m))) for m in facts.record.metrics),
                *(
                    Cell(setting(trial.params[d.name]) if d.name in trial.params else "")
                    for d in branch.space
                ),
                Cell(f"{trial.steps:,}"),
                Cell(duration(trial.device_seconds)),
                run_cell(facts, trial),
                *(
                    [
                        Cell(
                            "" if trial.retry_of is None else str(trial.retry_of),
                            href=trial_anchor(facts, branch, stands_for) if stands_for else None,
                        )
                    ]
                    if has_retry
                    else []
                ),
                *([Cell(plain(trial.error or ""))] if has_error else []),
            )
        )
    return Table(
        f"{plain(branch.variant)}: {count(len(branch.trials), 'trial')}; the state says why a "
        "value is blank; a blank setting was not in effect",
        (
            Column("trial"),
            Column("state"),
            *(Column(metric_label(m.name), is_number=True) for m in facts.record.metrics),
            *(Column(plain(d.name), is_number=d.kind != "categorical") for d in branch.space),
            Column("steps", is_number=True),
            Column("device time", is_number=True),
            Column("run"),
            *([Column("replaces", is_number=True)] if has_retry else []),
            *([Column("error")] if has_error else []),
        ),
        tuple(rows),
        row_ids=tuple(trial_id(facts, branch, trial) for trial in branch.trials),
    )
