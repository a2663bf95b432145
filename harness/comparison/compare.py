"""Run what is missing of the matrix, or take runs that there are, and record what they show."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from core.choices import BudgetKind
from core.data.splits.split import Part, Split
from core.errors import HarnessError, UsageError
from harness.branches.registry import find_variant
from harness.comparison.certified import certificates_of
from harness.comparison.eligibility import require_comparable
from harness.comparison.hindsight import left_out, note_question, question_notices
from harness.comparison.looks import looks_notices, looks_so_far, note_look
from harness.comparison.matrix import note_matrix
from harness.comparison.record import ComparisonRecord
from harness.comparison.request import (
    CompareOptions,
    CompareRequest,
    Question,
    comparison_name,
    margins_text,
    plan_matrix,
    require_branches,
    require_look,
    settings_of_profile,
    settle_question,
)
from harness.comparison.runs import LoadedRun, load_run, load_runs
from harness.comparison.spending import run_at_its_share, spending_limit
from harness.comparison.splits import with_other_splits
from harness.comparison.stored import basis_of, stored_comparison
from harness.executors.opening import ExecutorKind
from harness.metrics.decidable import rank_caution, too_small
from harness.metrics.registry import metric as declared
from harness.records.control import Asked
from harness.records.folders import ReportFolder, ResultsFolder
from harness.records.names import split_of
from harness.records.record import Status
from harness.records.sessions import SessionJournal, attending
from harness.run.libraries import may_be_finished, require_training_libraries
from harness.run.limit import SpendingLimit
from harness.run.plan import PlannedRun
from harness.settings.branch_config import Tuning
from harness.settings.load import load_profile
from harness.wording.data_kinds import group_word
from harness.wording.display import Display


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A comparison that was saved, and what its contact sheet is drawn from."""

    record: ComparisonRecord
    """Every number."""
    folder: Path
    """Where it lies."""
    finished: Sequence[LoadedRun]
    """Its runs that did not fail."""
    split: Split | None
    """Where their clips lie now; None where they are no longer there."""
    is_stored: bool = False
    """Whether it was made before, and nothing has changed since."""


def compare(request: CompareRequest, *, display: Display) -> Comparison:
    """Run what is missing of the matrix, then compare its records.

    Before any work it says what the seeds can find, and what the runs will take.

    Raises:
        UsageError: fewer than two branches, one named twice, an unknown metric, or one that
            ranks nothing at this many test images.
        MismatchError: records that may not be compared.
        HarnessError: a run did not end in a record.
    """
    require_branches(request.variants)
    require_look(request.options.looks, num_seeds=request.num_seeds)
    if request.budget is BudgetKind.GPU_SECONDS and request.executor.kind is ExecutorKind.RAY:
        raise UsageError(
            "--budget gpu_seconds measures steps on this machine, but nodes of a cluster may be "
            "faster or slower; use --budget flops, or drop --executor"
        )
    if not all(
        may_be_finished(request.options.results, variant=name, seed=seed)
        for name in request.variants
        for seed in range(request.num_seeds)
    ):
        require_training_libraries()
    profile = load_profile(request.profile, overrides=_of_no_variant(request.overrides))
    question = settle_question(request.options, settings=profile.deciding)
    budgets: dict[str, tuple[str, ...]] = {}
    if request.budget is not BudgetKind.SAMPLES:
        from harness.comparison.budgeting import equal_budget  # torch

        budget = equal_budget(
            request.budget,
            base=request.base,
            variants=request.variants,
            configs=request.configs,
            display=display,
        )
        display.say(budget.sentence())
        budgets = {name: budget.overrides(name) for name in request.variants}
    planned = plan_matrix(request, budgets=budgets, display=display)
    num_test = len(planned[0].prepared.split.parts[Part.TEST])
    caution = rank_caution(declared(question.metric), n=num_test)
    if caution is not None:
        raise UsageError(
            f"{caution}; choose another primary metric; this one is in the report anyway"
        )
    missing = [run for run in planned if run.finished_record is None]
    for name in {run.identity.variant for run in missing}:
        find_variant(name).load()  # one that cannot be imported stops here, before any run
    run_ids = [run.identity.run_id for run in planned]
    folder = _folder(run_ids, question, request.options)
    asked_at = note_question(folder, asked=_default_name(run_ids, question))
    if not missing:
        display.say(f"{_matrix_words(request, len(planned))}, all of them done.")
        return _concluded(planned, request=request, question=question, asked_at=asked_at)
    note_matrix(folder, planned, command=request.command, metric=question.metric)
    sessions = ReportFolder(folder).sessions
    limit = spending_limit(request, sessions=SessionJournal(sessions).sessions)
    with attending(sessions, command=request.command):
        _make(
            missing,
            of=len(planned),
            request=request,
            question=question,
            folder=folder,
            limit=limit,
            display=display,
        )
        return _concluded(planned, request=request, question=question, asked_at=asked_at)


def _concluded(
    planned: Sequence[PlannedRun], *, request: CompareRequest, question: Question, asked_at: str
) -> Comparison:
    """What the finished runs of the matrix show."""
    runs = [load_run(run.folder) for run in planned]
    # With the scorers of the request: they say what the profile decides by.
    scorers = [item for item in request.overrides if item.strip().startswith("scorers.")]
    default = settle_question(
        CompareOptions(request.options.results),
        settings=load_profile(request.profile, overrides=scorers).deciding,
    )
    return conclude(
        runs,
        question=question,
        notices=question_notices(runs, asked_at=asked_at, question=question, default=default),
        options=request.options,
        command=request.command,
        split=planned[0].prepared.split,
        tuning={run.identity.variant: run.tuning for run in planned if run.tuning is not None},
    )


def _make(
    missing: Sequence[PlannedRun],
    *,
    of: int,
    request: CompareRequest,
    question: Question,
    folder: Path,
    limit: SpendingLimit,
    display: Display,
) -> None:
    """Make the runs that are missing of `of`, after a word on what they take and can find."""
    from harness.comparison.earlier import variance_sentence
    from harness.comparison.forecast import forecast
    from harness.comparison.power import power_sentence
    from harness.costs.host import host_bytes
    from harness.executors.opening import open_executor
    from harness.executors.run_all import run_all

    counts = missing[0].prepared.split.counts
    for sentence in too_small(
        {name: row[Part.TEST] for name, row in counts.items()},
        metric=declared(question.metric),
        word=group_word(missing[0].prepared.split.kind),
    ):
        display.say(f"warning: {sentence}")
    profile = missing[0].profile
    if request.executor.kind is ExecutorKind.LOCAL:
        from harness.run.device import require_fit_device

        require_fit_device(profile, asked=request.device)
    with open_executor(
        request.executor,
        num_threads=profile.training.num_threads,
        display=display,
        run_bytes=partial(host_bytes, missing, results=request.options.results),
    ) as executor:
        expected = forecast(
            missing,
            results=request.options.results,
            jobs=executor.capacity,
            price_per_hour=request.price_per_hour,
        )
        display.say(
            f"{_matrix_words(request, of)}, {of - len(missing)} of them done. {expected.sentence()}"
        )
        display.say(
            power_sentence(
                request.num_seeds, num_branches=len(request.variants), looks=request.options.looks
            )
        )
        known = variance_sentence(
            request.options.results,
            metric=question.metric,
            variants=request.variants,
            profile=missing[0].identity.profile,
        )
        if known:
            display.say(known)
        display.say(f"{question.metric} decides. {margins_text(question.margins, question.metric)}")
        if request.executor.kind is ExecutorKind.LOCAL:
            missing = [run_at_its_share(run, of=executor.capacity) for run in missing]
        run_all(
            missing,
            executor=executor,
            metric=question.metric,
            display=display,
            asked=Asked(folder, name=folder.name),
            limit=limit,
        )


def _matrix_words(request: CompareRequest, num_planned: int) -> str:
    return f"{num_planned} runs ({len(request.variants)} branches x {request.num_seeds} seeds)"


def compare_existing(
    names: Sequence[str], *, options: CompareOptions, overrides: Sequence[str] = ()
) -> Comparison:
    """Compare runs that there are, by id or place; nothing is trained.

    Raises:
        UsageError: a run that is not there, or an unknown metric.
        MismatchError: runs that may not be compared.
        DataError: a record or table that cannot be read.
    """
    runs = load_runs(names, results=options.results)
    records = [run.record for run in runs]
    require_comparable(
        records,
        allow_mixed_environment=options.allow_mixed_environment,
        folders=[run.folder.resolve() for run in runs],
    )
    require_branches(list(dict.fromkeys(record.identity.variant for record in records)))
    settings = settings_of_profile(
        records[0].identity.profile, overrides=overrides, options=options
    )
    words = ["harness", "compare", "--from", *names]
    for item in overrides:
        words += ["--set", item]
    split, notices = _split_of(runs[0])
    notices += [
        f"{option} was given after these runs were made; its conclusion holds only if their "
        "results had not been seen"
        for option, is_given in (
            ("--metric", options.metric is not None),
            ("--margin", options.margin is not None),
            ("--set comparison", any(o.strip().startswith("comparison.") for o in overrides)),
        )
        if is_given
    ]
    return conclude(
        runs,
        question=settle_question(options, settings=settings),
        options=options,
        command=shlex.join([*words, *options.words()]),
        split=split,
        notices=notices,
    )


def conclude(
    runs: Sequence[LoadedRun],
    *,
    question: Question,
    options: CompareOptions,
    command: str,
    split: Split | None,
    notices: Sequence[str] = (),
    tuning: Mapping[str, Tuning] | None = None,
) -> Comparison:
    """Compare loaded runs and save the comparison, or return it where it is saved already.

    split: where their clips lie now. tuning: how branches were tuned, beyond what the runs'
    records say.

    Raises:
        MismatchError: they differ in more than branch and seed.
        DataError: a run's per-clip table is missing.
    """
    run_ids = [run.record.run_id for run in runs]
    folder = _folder(run_ids, question, options)
    seeds = {run.record.identity.seed for run in runs}
    require_look(options.looks, num_seeds=len(seeds))
    looks = looks_so_far(
        run_ids,
        metric=question.metric,
        num_seeds=len(seeds),
        planned=options.looks,
        results=options.results,
    )
    notices = [
        *notices,
        *left_out([run.record for run in runs], results=options.results),
        *looks_notices(looks),
    ]
    certificates = certificates_of(
        [run.record for run in runs if run.record.status is Status.FINISHED],
        results=options.results,
    )
    basis = basis_of(
        runs,
        question=question,
        folder=folder,
        allow_mixed_environment=options.allow_mixed_environment,
        notices=notices,
        looks=looks,
        tuning=tuning or {},
        certificates=certificates,
    )
    stored = stored_comparison(folder, basis=basis, runs=runs)
    record = stored
    if record is None:
        from harness.comparison.analysis import analyse  # pandas and scipy

        record = analyse(
            runs,
            metric=question.metric,
            margins=question.margins,
            folder=folder,
            command=command,
            allow_mixed_environment=options.allow_mixed_environment,
            notices=notices,
            tuning=tuning,
            looks=looks,
            certificates=certificates,
        ).model_copy(update={"basis": basis})
        record.save(folder)
        note_look(folder, record=record)
    if (beside := with_other_splits(record, results=options.results)) is not record:
        record, stored = beside, None
        record.save(folder)
    finished = [run for run in runs if run.record.run_id not in record.failed]
    return Comparison(
        record=record, folder=folder, finished=finished, split=split, is_stored=stored is not None
    )


def _folder(run_ids: Sequence[str], question: Question, options: CompareOptions) -> Path:
    name = options.name or _default_name(run_ids, question)
    return ResultsFolder(options.results).report(name).path


def _default_name(run_ids: Sequence[str], question: Question) -> str:
    return comparison_name(run_ids, metric=question.metric, margins=question.margins)


def _of_no_variant(overrides: Sequence[str]) -> list[str]:
    """Without `variant.KEY=VALUE`, which means another setting for each branch."""
    return [item for item in overrides if not item.strip().startswith("variant.")]


def _split_of(run: LoadedRun) -> tuple[Split | None, list[str]]:
    """The split that the record names, where its media still lie there."""
    try:
        return split_of(run.record, results=run.folder.resolve().parent.parent), []
    except HarnessError as error:
        return None, [f"the contact sheet could not be drawn: {error}"]
