"""Scoring what is trained: other scorers or other sampling for a run that there is."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from core.errors import MismatchError, UsageError
from harness.records.names import named_run
from harness.records.record import RunRecord, load_record
from harness.run.plan import PlannedRun, RunRequest, plan_run
from harness.run.run import run_planned
from harness.run.trained import checkpoints_of
from harness.wording.display import Display


def rescore(
    name: str,
    *,
    overrides: Sequence[str],
    results: Path,
    device: str | None = None,
    data: str | None = None,
    display: Display,
) -> tuple[RunRecord, PlannedRun]:
    """A run with the weights of another: only what follows training is made.

    name: as `named_run` takes it. overrides: `sampling.*` and `scorers.*` items. data: where
    the pairs lie now, if not where the run's command says.

    Raises:
        UsageError: an item that decides the weights, or a run that is not there.
        MismatchError: the data, models or code that trained it are no longer these, or its
            checkpoints are gone.
    """
    path = named_run(name, results=results)
    old = load_record(path)
    folder = path.parent if path.is_file() else path
    first = RunRequest.of_command(old.command)
    request = replace(
        first,
        overrides=(*first.overrides, *overrides),
        results=results,
        device=device,
        data=data or first.data,
    )
    planned = plan_run(request, display=display)
    _require_same_training(old, planned, overrides=overrides)
    if planned.finished_record is None and not (
        checkpoints_of(folder) or checkpoints_of(planned.folder)
    ):
        raise MismatchError(
            f"{old.run_id} has no checkpoint in {folder}: there are no weights to score; `harness "
            "run` with its settings trains them again"
        )
    return run_planned(planned, display=display), planned


def _require_same_training(
    old: RunRecord, planned: PlannedRun, *, overrides: Sequence[str]
) -> None:
    ours, theirs = planned.identity, old.identity
    if ours.training_id == theirs.training_id:
        return
    for part, new, former in zip(
        ("settings", "variant_config", "split_hash", "code", "models"),
        ours.training_parts,
        theirs.training_parts,
        strict=True,
    ):
        if new == former:
            continue
        if part in ("settings", "variant_config") and overrides:
            raise UsageError(
                f"{', '.join(overrides)} would change the weights, which `harness score` keeps: it "
                "takes sampling.KEY and scorers.KEY; train another run with `harness run`"
            )
        raise MismatchError(
            f"{old.run_id} was trained with another {part.replace('_', ' ')} than is here now; its "
            "weights cannot be scored as if nothing had changed: run it again with `harness run`"
        )
