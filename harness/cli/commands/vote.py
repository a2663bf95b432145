"""`harness vote`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from core.errors import UsageError
from harness.cli.commands.options import AsJson, Results, print_result


def vote(
    comparison: Annotated[
        str, typer.Argument(metavar="COMPARISON", help="Name, start of the name, or path.")
    ],
    out: Annotated[Path, typer.Option(dir_okay=False, help="The page to write.")] = Path(
        "vote.html"
    ),
    kind: Annotated[
        str,
        typer.Option(
            metavar="branches|sound",
            help="branches: which of two branches' images fits the sound; sound: which image of "
            "one branch, that of the matching or of a mismatched sound.",
        ),
    ] = "branches",
    trials: Annotated[int, typer.Option(min=1, max=400, help="Questions of that kind.")] = 40,
    repeats: Annotated[
        int, typer.Option(min=0, max=100, help="Questions that are asked twice, for reliability.")
    ] = 6,
    catch: Annotated[
        int,
        typer.Option(
            min=0,
            max=100,
            help="Catch trials: a real picture against one of another class. Who misses more than "
            "a guesser would in 5 % of cases is left out.",
        ),
    ] = 8,
    decide: Annotated[
        bool,
        typer.Option(
            "--decide",
            help="The comparison's verdict rests on these votes instead of its metric; kept in the "
            "plan before anyone votes. Requires --listeners or --find.",
        ),
    ] = False,
    listeners: Annotated[
        int | None,
        typer.Option(min=3, help="With --decide: listeners at which it is decided, not before."),
    ] = None,
    find: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Print how many listeners find a true share of votes such as 0.65 in 80 % of "
            "cases; with --decide, that many decide.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of every choice by hash.")] = 0,
    max_mb: Annotated[float, typer.Option(min=0.1, help="Maximum size of the page.")] = 60.0,
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Write a page on which listeners choose the image that fits a sound, blinded.

    One file, offline, by keyboard or touch. It saves a file per listener; `harness report
    COMPARISON --votes FILE...` scores them. Sides and order are chosen by hash and kept, with what
    is behind each image, in the comparison's folder.
    """
    from rich.text import Text

    from harness.comparison.record import load_comparison
    from harness.records.folders import ReportFolder, ResultsFolder
    from harness.records.names import named_comparison
    from harness.report.votes.page import write_ballot
    from harness.votes.choose import VoteOptions, choose_trials
    from harness.votes.plan import Kind
    from harness.votes.sample_size import ballot_size

    if kind not in (Kind.BRANCHES, Kind.SOUND):
        raise UsageError(f"--kind {kind!r}; expected branches or sound")
    if decide and listeners is None and find is None:
        raise UsageError(
            "--decide requires a number of listeners that is set beforehand: pass --listeners N, "
            "or --find SHARE to compute it"
        )
    if listeners is not None and not decide:
        raise UsageError("--listeners is of a vote that decides; pass --decide with it")
    if listeners is not None and find is not None:
        raise UsageError("--listeners and --find cannot be combined; choose one of them")
    folder = named_comparison(comparison, results=results)
    if folder is None:
        reports = ResultsFolder(results).reports
        raise UsageError(f"no comparison is named '{comparison}'; see the folders in {reports}")
    options = VoteOptions(
        kind=Kind(kind), num_trials=trials, num_repeats=repeats, num_catch=catch, seed=seed
    )
    record = load_comparison(folder)
    ballot = choose_trials(record, folder=folder, options=options)
    size = ballot_size(ballot.plan.main)
    needed = None if find is None else size.listeners_for(find)
    if decide:
        options = replace(options, decides_at=listeners or needed)
        ballot = choose_trials(record, folder=folder, options=options)
    plan = ballot.plan
    write_ballot(ballot, out=out, max_bytes=int(max_mb * 1e6))
    kept = ReportFolder(folder).vote_plan(plan.plan_id)
    if not kept.is_file():
        plan.save(kept)
    lines = [
        f"page  {out}: {len(plan.trials)} questions, {len(plan.main)} of them count, "
        f"{plan.num_catch} catch trials",
        f"plan  {kept}",
    ]
    if len(plan.main) < trials:
        lines.append(
            f"note: the test clips give {len(plan.main)} of the {trials} questions asked for"
        )
    if plan.most_catch_misses < 0:
        lines.append(
            f"note: {plan.num_catch} catch trials cannot tell who guesses (5 are the fewest); "
            "nobody will be left out"
        )
    else:
        lines.append(
            f"rule  a listener who misses more than {plan.most_catch_misses} of "
            f"{plan.num_catch} catch trials is left out"
        )
    if plan.decides:
        lines.append(
            f"rule  the verdict rests on these votes, once {plan.num_listeners} listeners count"
        )
    lines += size.sentences()
    if needed is not None:
        lines.append(f"a true share of {find:.0%} takes {needed} listeners")
    data = {
        "page": str(out),
        "plan": str(kept),
        "plan_id": plan.plan_id,
        "num_trials": len(plan.trials),
        "num_counted": len(plan.main),
        "num_catch": plan.num_catch,
        "most_catch_misses": plan.most_catch_misses,
        "decides": plan.decides,
        "num_listeners": plan.num_listeners,
        "needed_listeners": needed,
        "detectable_share": {str(n): share for n, share in size.table().items()},
    }
    print_result(Text("\n".join(lines)), as_json=as_json, data=data)
