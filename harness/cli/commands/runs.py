"""`harness run`, `list` and `show`."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.commands.options import (
    DEFAULT_PROFILE,
    AsJson,
    Data,
    DeviceOption,
    DryRunOption,
    MaxCost,
    MaxHours,
    Notify,
    PreviewEvery,
    PricePerHour,
    ProfileOption,
    ProfileOverConfig,
    Results,
    Set,
    preview_words,
    print_result,
    spending_settings,
)
from harness.records.score_kind import Score


def run(
    variant: Annotated[
        str | None,
        typer.Option(help="Branch to run; `harness list` names them. --config may name it too."),
    ] = None,
    profile: ProfileOverConfig = None,
    seed: Annotated[int, typer.Option(help="Seed of training and sampling.")] = 0,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A TOML file of the branch's settings, as `harness sweep` writes."
        ),
    ] = None,
    set_: Set = None,
    data: Data = None,
    results: Results = Path("results"),
    device: DeviceOption = None,
    as_json: AsJson = False,
    score: Annotated[
        Score,
        typer.Option(
            help="test: generate every arm for the test clips and score it. validation: generate "
            "from the matching sound for the validation clips and score that. loss: compute the "
            "validation loss only. The last two never read the test clips; such runs go to "
            "results/validation and are not compared."
        ),
    ] = Score.TEST,
    preview_every: PreviewEvery = None,
    notify: Notify = None,
    price_per_hour: PricePerHour = None,
    max_hours: MaxHours = None,
    max_cost: MaxCost = None,
    dry_run: DryRunOption = False,
) -> None:
    """Train a branch through its three stages and score it on the test clips.

    A finished run is shown without training; an unfinished one resumes from its last checkpoint.
    """
    from core.errors import UsageError
    from harness.records.folders import RunFolder
    from harness.report.terminal import tables as show
    from harness.run import run as runs
    from harness.run.plan import RunRequest
    from harness.settings.branch_config import load_run_config
    from harness.watch.notify import Notifier
    from harness.wording.display import open_display

    if config is not None:
        tuned = load_run_config(config)
        tuned.require_agreement(config, variant=variant, profile=profile)
        variant, profile = tuned.variant, profile or tuned.profile
    if variant is None:
        raise UsageError(
            "no branch was given; name one with --variant (`harness list` shows them) or give its "
            "settings with --config FILE"
        )
    request = RunRequest(
        variant=variant,
        profile=profile or DEFAULT_PROFILE,
        seed=seed,
        overrides=(
            *(set_ or ()),
            *preview_words(preview_every),
            *spending_settings(
                price_per_hour=price_per_hour, max_hours=max_hours, max_cost=max_cost
            ),
        ),
        data=data,
        results=results,
        config=config,
        score=score,
        device=None if device is None else device.value,
    )
    with open_display() as display:
        if dry_run:
            from harness.costs.dry import dry_run as plan_dry
            from harness.report.terminal.dry_run import dry_run_data, dry_run_view

            found = plan_dry(request, display=display)
            print_result(dry_run_view(found), as_json=as_json, data=dry_run_data(found))
            return
        what = f"{variant} seed {seed}"
        with Notifier(notify, what=what, results=results, say=display.say):
            record = runs.run(request, display=display)
    path = RunFolder(results / score.folder / record.run_id).record
    payload = {
        "run_id": record.run_id,
        "record": str(path),
        "status": record.status.value,
        "metrics": {n: v.model_dump(mode="json") for n, v in record.metrics.items()},
    }
    print_result(show.record(record, folder=path.parent), as_json=as_json, data=payload)


def list_(
    profile: ProfileOption = "tiny",
    results: Results = Path("results"),
    runs: Annotated[bool, typer.Option("--runs", help="List runs instead of branches.")] = False,
    comparisons: Annotated[
        bool, typer.Option("--comparisons", help="List comparisons instead of branches.")
    ] = False,
    sweeps: Annotated[
        bool, typer.Option("--sweeps", help="List sweeps instead of branches.")
    ] = False,
    adapters: Annotated[
        bool,
        typer.Option(
            "--adapters", help="List what can adapt the frozen UNet, with what each trains."
        ),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show what each stage trains, by module.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List branches and controls with what each trains at the profile's size.

    Or UNet adapters; or runs, comparisons or sweeps: those that go on, were interrupted or failed,
    and the finished.
    """
    from core.errors import UsageError
    from harness.report.terminal import tables as show

    if runs + comparisons + sweeps + adapters > 1:
        raise UsageError(
            "--runs, --comparisons, --sweeps and --adapters cannot be combined; choose one of them"
        )
    if adapters:
        from harness.branches.adapters import describe_adapters
        from harness.report.terminal.adapters import adapters_view

        rows = describe_adapters(profile)
        print_result(adapters_view(rows), as_json=as_json, data=[row.data() for row in rows])
        return
    if comparisons:
        from harness.report.terminal.lists import comparisons_data, comparisons_view

        print_result(comparisons_view(results), as_json=as_json, data=comparisons_data(results))
        return
    if sweeps:
        from harness.report.terminal.sweeps import sweeps_data, sweeps_view

        print_result(sweeps_view(results), as_json=as_json, data=sweeps_data(results))
        return
    if runs:
        from harness.report.terminal.lists import runs_data, runs_view

        print_result(runs_view(results), as_json=as_json, data=runs_data(results))
        return
    from rich.console import Group
    from rich.text import Text

    from harness.branches.describe import describe_variants

    described = describe_variants(profile)
    view = show.variants(described, is_verbose=verbose)
    if (metrics := show.foreign_metrics()) is not None:
        view = Group(view, Text(""), metrics)
    print_result(view, as_json=as_json, data=[v.data() for v in described])


def show_(
    run: Annotated[
        str,
        typer.Argument(
            help="Run id, the start of an id, name of a comparison or sweep, or a path."
        ),
    ],
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Show everything about a run, a comparison or a sweep, ended or not."""
    from harness.records.folders import IDENTITY, MATRIX, ReportFolder, RunFolder
    from harness.records.names import Kind, named
    from harness.records.record import load_record
    from harness.records.unaltered import require_unaltered
    from harness.report.terminal import tables as show

    target = named(run, results=results)
    folder = target.folder
    is_open = {
        Kind.COMPARISON: not ReportFolder(folder).comparison.is_file(),
        Kind.RUN: not target.path.is_file() and not RunFolder(folder).record.is_file(),
    }.get(target.kind, False)
    if is_open and (folder / IDENTITY).is_file() | (folder / MATRIX).is_file():
        from harness.report.terminal.looking import Look

        data, status = Look(results, name=str(folder)).now()
        print_result(status, as_json=as_json, data=data)
        return
    if target.kind is Kind.COMPARISON:
        from harness.comparison.record import load_comparison
        from harness.report.terminal.comparison import comparison_view
        from harness.votes.summary import votes_on

        found = load_comparison(folder)
        files = [("comparison", ReportFolder(folder).comparison)]
        votes = votes_on(folder)
        view = comparison_view(found, files=files, width=show.console().width, votes=votes)
        print_result(view, as_json=as_json, data=found.model_dump(mode="json"))
        return
    if target.kind is Kind.SWEEP:
        from harness.report.terminal.sweep import sweep_view
        from harness.sweep.record import load_sweep

        sweep = load_sweep(folder)
        print_result(
            sweep_view(sweep, folder=folder), as_json=as_json, data=sweep.model_dump(mode="json")
        )
        return
    record = load_record(target.path)
    require_unaltered(record, folder, with_weights=True)
    print_result(
        show.record(record, folder=folder), as_json=as_json, data=record.model_dump(mode="json")
    )
