"""What is on the page of a sweep, and the table of its trials beside it."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from core.files import write_atomic
from harness.records.folders import SweepFolder
from harness.report.page.content import Head
from harness.report.page.page import Page, Written
from harness.report.page.render import encoded
from harness.report.sweep.facts import SweepFacts
from harness.report.sweep.sections import sections
from harness.report.sweep.words import headline
from harness.statistics.outcome import Outcome
from harness.sweep.record import load_sweep
from harness.wording.numbers import count, plain

TRIALS = "trials.csv"
_FIXED = (
    "branch",
    "trial",
    "state",
    "is_default",
    "is_best",
    "run_id",
    "retry_of",
    "steps",
    "seconds",
    "device_seconds",
    "started_at",
    "finished_at",
    "error",
)


def write_sweep_report(folder: Path, *, out: Path | None = None) -> Written:
    """Write the report of the sweep in `folder`; also of an unfinished one.

    out: where it is written; None: beside its record.

    Raises:
        DataError: there is no sweep in the folder.
        NoSpaceError: the disk is full.
    """
    facts = SweepFacts(load_sweep(folder), folder)
    page = Page(head=_head(facts), sections=sections(facts))
    target = folder if out is None else out
    write_atomic(target / TRIALS, content=encoded(trials_csv(facts)))
    return page.write(
        target,
        files={"trials_csv": target / TRIALS, "sweep": SweepFolder(folder).record},
        counts={"num_trials": sum(len(branch.trials) for branch in facts.branches)},
    )


def _head(facts: SweepFacts) -> Head:
    record = facts.record
    ended = sorted(
        trial.finished_at
        for branch in facts.branches
        for trial in branch.trials
        if trial.finished_at is not None
    )
    has_test = any(branch.test_runs for branch in facts.branches)
    return Head(
        title=plain(record.name),
        headline=headline(facts),
        tone=_tone(facts),
        chips=(
            "Finished" if facts.is_finished else "Not finished",
            "validation and test" if has_test else "validation only",
            f"{count(record.num_trials, 'trial')} per branch",
            count(len(facts.branches), "branch", "branches"),
        ),
        kicker=(
            "sweep",
            f"profile {plain(record.profile)}",
            f"last trial ended {plain(ended[-1][:10])}" if ended else "",
        ),
        branches=tuple(plain(branch.variant) for branch in facts.branches),
        files=(TRIALS,),
        source="the record of the sweep and the records of its runs on the test clips",
    )


def _tone(facts: SweepFacts) -> str:
    """Green for what the test clips confirm alone: a lead on validation was chosen for."""
    found = [test for test in facts.on_test.values() if test.outcome is not None]
    if not found:
        return "plain"
    is_won = all(test.outcome is Outcome.WIN and test.is_better for test in found)
    return "win" if is_won and len(found) == len(facts.branches) else "undecided"


def trials_csv(facts: SweepFacts) -> str:
    """Every trial as a row; a column a metric (`value.`) and a parameter (`param.`)."""
    metrics = [metric.name for metric in facts.record.metrics]
    params = list(dict.fromkeys(d.name for branch in facts.branches for d in branch.space))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(
        [*_FIXED, *(f"value.{name}" for name in metrics), *(f"param.{name}" for name in params)]
    )
    for branch in facts.branches:
        for trial in branch.trials:
            writer.writerow(
                [
                    branch.variant,
                    trial.number,
                    trial.state.value,
                    trial.is_default,
                    trial.number == branch.best,
                    trial.run_id,
                    trial.retry_of,
                    trial.steps,
                    trial.seconds,
                    trial.device_seconds,
                    trial.started_at,
                    trial.finished_at,
                    None if trial.error is None else plain(trial.error),
                    *(trial.values.get(name) for name in metrics),
                    *(_field(trial.params, name) for name in params),
                ]
            )
    return buffer.getvalue()


def _field(params: dict[str, Any], name: str) -> str:
    """A value as JSON, so that a text and a number differ; blank where there is none."""
    return json.dumps(params[name], ensure_ascii=False) if name in params else ""
