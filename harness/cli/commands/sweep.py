"""`harness sweep`."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.commands.options import (
    SEARCH_SEED,
    AsJson,
    Data,
    DeviceOption,
    DryRunOption,
    ExecutorOption,
    GpuShare,
    Jobs,
    Notify,
    ProfileOption,
    RayAddress,
    Results,
    Set,
    Store,
    print_result,
)
from harness.executors.opening import ExecutorKind
from harness.statistics.outcome import MAX_SEEDS


def sweep(
    variant: Annotated[str | None, typer.Option(help="The branch to search.")] = None,
    variants: Annotated[
        str | None,
        typer.Option(
            help="Several branches, comma-separated, or all; each gets the full number of trials."
        ),
    ] = None,
    trials: Annotated[
        int, typer.Option(min=1, help="Trials per branch, counting those that have already ended.")
    ] = 50,
    metric: Annotated[
        str,
        typer.Option(
            help="What to optimise on the validation clips: validation_loss, a metric of the "
            "reports such as kid, gpu_seconds or trainable_parameters; several, comma-separated, "
            "are optimised together, and the first decides which trial is best."
        ),
    ] = "validation_loss",
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where the study is kept: a journal file (PATH.log; default: one in the sweep's "
            "folder) for processes on one machine, postgresql://USER@HOST/DB for several machines.",
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            help="Seed of the search and of every trial's training; choose one that no comparison "
            "uses, since settings are chosen partly by its luck."
        ),
    ] = SEARCH_SEED,
    test_seeds: Annotated[
        int,
        typer.Option(
            min=0,
            max=MAX_SEEDS,
            help="Afterwards, train the best settings and the defaults with N seeds (0, 1, ..., "
            "without the seed of the search) and score both on the test clips; 0 leaves the test "
            "clips unread.",
        ),
    ] = 0,
    profile: ProfileOption = "tiny",
    set_: Set = None,
    data: Data = None,
    results: Results = Path("results"),
    device: DeviceOption = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the folder under results/sweeps.")
    ] = None,
    executor: ExecutorOption = ExecutorKind.LOCAL,
    jobs: Jobs = 0,
    gpu_share: GpuShare = 1.0,
    ray_address: RayAddress = None,
    store: Store = None,
    notify: Notify = None,
    dry_run: DryRunOption = False,
    as_json: AsJson = False,
) -> None:
    """Search the settings of a branch, or of several with equal trials, on the validation clips.

    The same command continues a sweep; several at once share it. The best settings are written to
    a file for `harness run --config`, with a report next to it.
    """
    from harness.executors.opening import ExecutorOptions
    from harness.records.names import require_folder_name
    from harness.report.draw import write_report
    from harness.report.terminal.sweep import sweep_view
    from harness.sweep.objectives import parse_metrics, score_for
    from harness.sweep.request import SweepRequest, branch_names
    from harness.sweep.sweep import sweep as search
    from harness.watch.notify import Notifier
    from harness.wording.display import open_display

    metrics = tuple(parse_metrics(metric))
    require_folder_name(name)
    request = SweepRequest(
        variants=branch_names(variant, variants),
        num_trials=trials,
        metrics=metrics,
        score=score_for(metrics),
        profile=profile,
        seed=seed,
        overrides=tuple(set_ or ()),
        data=data,
        results=results,
        executor=ExecutorOptions(
            executor, jobs=jobs, gpu_share=gpu_share, ray_address=ray_address, store=store
        ),
        storage=storage,
        name=name,
        test_seeds=test_seeds,
        device=None if device is None else device.value,
    )
    if dry_run:
        from harness.report.terminal.dry_matrix import dry_sweep_view
        from harness.sweep.dry import dry_sweep

        with open_display() as display:
            planned = dry_sweep(request, display=display)
        print_result(dry_sweep_view(planned), as_json=as_json, data=planned.data())
        return
    with open_display() as display:
        what = f"sweep of {', '.join(request.variants)}"
        with Notifier(notify, what=what, results=results, say=display.say):
            found = search(request, display=display)
    report = write_report(found.folder).page
    view = sweep_view(found.record, folder=found.folder)
    print_result(view, as_json=as_json, data=found.data(report=report))
