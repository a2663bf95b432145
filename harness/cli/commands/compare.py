"""`harness compare`."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.choices import BudgetKind
from harness.branches.compared import DEFAULT_VARIANTS
from harness.cli.commands.options import (
    DEFAULT_PROFILE,
    AsJson,
    Data,
    DeviceOption,
    DryRunOption,
    ExecutorOption,
    GpuShare,
    Jobs,
    MaxCost,
    MaxHours,
    Notify,
    PreviewEvery,
    PricePerHour,
    ProfileOverConfig,
    RayAddress,
    Results,
    Set,
    Store,
    preview_words,
    print_result,
    spending_settings,
)
from harness.executors.opening import ExecutorKind, ExecutorOptions
from harness.statistics.outcome import MAX_SEEDS

if TYPE_CHECKING:
    from harness.comparison.record import ComparisonRecord
    from harness.comparison.request import CompareRequest


def compare(
    context: typer.Context,
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", help="With --from: run ids or paths of runs."),
    ] = None,
    variants: Annotated[str, typer.Option(help="Branches, comma-separated.")] = DEFAULT_VARIANTS,
    seeds: Annotated[
        int,
        typer.Option(min=1, max=MAX_SEEDS, help="Seeds 0 to N-1 for each branch."),
    ] = 3,
    profile: ProfileOverConfig = None,
    config: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="A TOML file of one branch's settings, as `harness sweep` writes; repeat it for "
            "other branches.",
        ),
    ] = None,
    set_: Set = None,
    data: Data = None,
    results: Results = Path("results"),
    device: DeviceOption = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="Primary metric, which alone decides the verdict (default: the profile's)."
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            help="Differences on that metric up to this size are a tie (default: the profile's)."
        ),
    ] = None,
    from_: Annotated[
        bool,
        typer.Option("--from", help="Compare the finished RUNs that follow, without training."),
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="Name of the folder under results/reports.")
    ] = None,
    looks: Annotated[
        str | None,
        typer.Option(
            help="Numbers of seeds at which you plan to decide, like 6,8,10: each look is tested "
            "so that all together keep the level. Name them at the first look."
        ),
    ] = None,
    split_seeds: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            help="Repeat the comparison on K divisions of the data (data.split_seed 0 to K-1), and "
            "say how much the difference varies between them.",
        ),
    ] = None,
    jobs: Jobs = 0,
    executor: ExecutorOption = ExecutorKind.LOCAL,
    gpu_share: GpuShare = 1.0,
    ray_address: RayAddress = None,
    store: Store = None,
    price_per_hour: PricePerHour = None,
    max_hours: MaxHours = None,
    max_cost: MaxCost = None,
    budget: Annotated[
        BudgetKind,
        typer.Option(
            help="What is equal in the branches' training: samples, device seconds (CPU seconds "
            "without a GPU), or FLOPs. All but samples scale each branch's stages."
        ),
    ] = BudgetKind.SAMPLES,
    allow_mixed_environment: Annotated[
        bool,
        typer.Option(
            "--allow-mixed-environment",
            help="Compare runs made with different library versions or devices; the report says "
            "so.",
        ),
    ] = False,
    preview_every: PreviewEvery = None,
    notify: Notify = None,
    then: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND",
            help="For the shell, once the report is written: $HARNESS_COMPARISON is its folder.",
        ),
    ] = None,
    dry_run: DryRunOption = False,
    as_json: AsJson = False,
) -> None:
    """Train the branches that are not trained yet, pair them by seed and clip, and compare.

    With --from, nothing is trained and the branches, seeds and profile are those of the runs.
    Asked again, it shows the comparison as it was stored, unless a run, the question or the code
    has changed.
    """
    from core.errors import UsageError
    from harness.comparison.compare import compare as compare_branches
    from harness.comparison.compare import compare_existing
    from harness.comparison.configs import configs_by_branch
    from harness.comparison.request import CompareOptions, CompareRequest, planned_looks
    from harness.report.comparison.draw import draw_comparison
    from harness.report.terminal.comparison import comparison_view
    from harness.report.terminal.tables import console
    from harness.votes.summary import votes_on
    from harness.watch.notify import Notifier
    from harness.wording.display import open_display

    executor_options = ExecutorOptions(
        executor, jobs=jobs, gpu_share=gpu_share, ray_address=ray_address, store=store
    )
    options = CompareOptions(
        results,
        metric=metric,
        margin=margin,
        name=name,
        allow_mixed_environment=allow_mixed_environment,
        looks=planned_looks(looks),
    )
    overrides = tuple(set_ or ())
    if price_per_hour is not None and not from_:
        overrides += spending_settings(price_per_hour=price_per_hour)
    overrides += preview_words(preview_every if not from_ else None)
    if bool(runs) != from_:
        raise UsageError(
            f"got {', '.join(runs)} without --from; write harness compare --from RUN RUN"
            if runs
            else "--from requires run ids; write harness compare --from RUN RUN"
        )
    if from_ and (others := _of_runs_to_make(context)):
        raise UsageError(
            f"{', '.join(others)} selects runs to train, but --from trains none; drop one of them"
        )
    if runs:
        comparison = compare_existing(runs, options=options, overrides=overrides)
    else:
        names = tuple(word.strip() for word in variants.split(",") if word.strip())
        configs = configs_by_branch(config or (), variants=names, profile=profile)
        request = CompareRequest(
            names,
            num_seeds=seeds,
            profile=profile or configs.profile or DEFAULT_PROFILE,
            overrides=overrides,
            data=data,
            options=options,
            executor=executor_options,
            price_per_hour=price_per_hour,
            budget=budget,
            configs=configs.paths,
            device=None if device is None else device.value,
            max_hours=max_hours,
            max_cost=max_cost,
        )
        if split_seeds is not None:
            _over_splits(
                request,
                num_splits=split_seeds,
                is_dry=dry_run,
                notify=notify,
                then=then,
                as_json=as_json,
            )
            return
        if dry_run:
            from harness.comparison.dry import dry_comparison
            from harness.report.terminal.dry_matrix import dry_comparison_view

            with open_display() as display:
                planned = dry_comparison(request, display=display)
            print_result(dry_comparison_view(planned), as_json=as_json, data=planned.data())
            return
        with open_display() as display:
            what = f"comparison of {', '.join(names)}"
            with Notifier(notify, what=what, results=results, say=display.say):
                comparison = compare_branches(request, display=display)
    drawn = draw_comparison(comparison)
    view = comparison_view(
        comparison.record,
        files=drawn.files,
        width=console().width,
        votes=votes_on(comparison.folder),
    )
    print_result(view, as_json=as_json, data=drawn.data())
    if then is not None:
        _go_on_with(then, folder=comparison.folder)
    _require_branches_left([comparison.record])


def _over_splits(
    request: "CompareRequest",
    *,
    num_splits: int,
    is_dry: bool,
    notify: str | None,
    then: str | None,
    as_json: bool,
) -> None:
    """The same comparison on several divisions of the data."""
    from harness.comparison.over_splits import compare_over_splits, requests_over_splits
    from harness.wording.display import open_display

    if is_dry:
        from harness.comparison.dry import dry_comparison
        from harness.report.terminal.dry_matrix import dry_over_splits_view

        asked = requests_over_splits(request, num_splits=num_splits)
        with open_display() as display:
            planned = [dry_comparison(one, display=display) for one in asked]
        print_result(
            dry_over_splits_view(planned), as_json=as_json, data=[one.data() for one in planned]
        )
        return
    from harness.report.comparison.draw import draw_comparison
    from harness.report.terminal.over_splits import over_splits_view
    from harness.watch.notify import Notifier

    what = f"comparison of {', '.join(request.variants)} on {num_splits} splits"
    with (
        open_display() as display,
        Notifier(notify, what=what, results=request.options.results, say=display.say),
    ):
        found = compare_over_splits(request, num_splits=num_splits, display=display)
    drawn = [draw_comparison(comparison) for comparison in found.comparisons]
    print_result(
        over_splits_view(found, reports=[one.report for one in drawn]),
        as_json=as_json,
        data={**found.data(), "splits": [one.data() for one in drawn]},
    )
    if then is not None:
        for comparison in found.comparisons:
            _go_on_with(then, folder=comparison.folder)
    _require_branches_left([comparison.record for comparison in found.comparisons])


def _require_branches_left(records: "Sequence[ComparisonRecord]") -> None:
    """Exit with 1 where every run of a branch failed."""
    lost = list(dict.fromkeys(name for record in records for name in record.lost_branches))
    if lost:
        typer.echo(f"harness: every run of {', '.join(lost)} failed", err=True)
        raise typer.Exit(1)


def _go_on_with(command: str, *, folder: Path) -> None:
    """Run the user's command; how it ends is told and changes nothing."""
    # What it prints must not stand between what --json prints.
    environment = {**os.environ, "HARNESS_COMPARISON": str(folder.resolve())}
    done = subprocess.run(command, shell=True, env=environment, stdout=sys.stderr, check=False)
    if done.returncode:
        typer.echo(f"harness: --then ended with exit code {done.returncode}", err=True)


def _of_runs_to_make(context: typer.Context) -> list[str]:
    """The options that were given and say what is trained, and how."""
    names = (
        "variants",
        "seeds",
        "profile",
        "config",
        "data",
        "budget",
        "executor",
        "store",
        "device",
        "split_seeds",
        "dry_run",
    )
    given = [
        name
        for name in names
        if (source := context.get_parameter_source(name)) is not None
        and source.name not in ("DEFAULT", "DEFAULT_MAP")
    ]
    return [f"--{name.replace('_', '-')}" for name in given]
