"""`harness vote`."""

from pathlib import Path
from typing import Annotated

import typer

from core.errors import UsageError
from harness.cli.commands.options import AsJson, Results, print_result

_LISTENERS = (3, 5, 10, 20, 40)


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
    from harness.statistics.crossed_votes import VoteSpread, detectable_share
    from harness.votes.choose import VoteOptions, choose_trials
    from harness.votes.plan import Kind

    if kind not in (Kind.BRANCHES, Kind.SOUND):
        raise UsageError(f"--kind {kind!r}; expected branches or sound")
    folder = named_comparison(comparison, results=results)
    if folder is None:
        reports = ResultsFolder(results).reports
        raise UsageError(f"no comparison is named '{comparison}'; see the folders in {reports}")
    options = VoteOptions(
        kind=Kind(kind), num_trials=trials, num_repeats=repeats, num_catch=catch, seed=seed
    )
    ballot = choose_trials(load_comparison(folder), folder=folder, options=options)
    plan = ballot.plan
    write_ballot(ballot, out=out, max_bytes=int(max_mb * 1e6))
    kept = ReportFolder(folder).vote_plan(plan.plan_id)
    if not kept.is_file():
        plan.save(kept)
    main = [trial for trial in plan.trials if trial.kind is Kind(kind)]
    questions = {trial.question for trial in main}
    per_question = len(main) / len(questions)
    shares = {
        listeners: detectable_share(
            listeners=listeners,
            clips=max(2, round(per_question)),
            trainings=len({trial.seed for trial in main}),
            votes_per_listener=max(1, round(per_question)),
            spread=VoteSpread(),
        )
        for listeners in _LISTENERS
    }
    spread = VoteSpread()
    lines = [
        f"page  {out}: {len(plan.trials)} questions, {len(main)} of them count, "
        f"{plan.num_catch} catch trials",
        f"plan  {kept}",
    ]
    if len(main) < trials:
        lines.append(f"note: the test clips give {len(main)} of the {trials} questions asked for")
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
    lines.append("found in 80 % of cases, by number of listeners, is a true share of at least:")
    lines.append(", ".join(f"{n}: {share:.0%}" for n, share in shares.items()))
    lines.append(
        f"(assumed standard deviations of a share: listeners {spread.listeners:g}, clips "
        f"{spread.clips:g}, trainings {spread.trainings:g}; one question, before Holm)"
    )
    data = {
        "page": str(out),
        "plan": str(kept),
        "plan_id": plan.plan_id,
        "num_trials": len(plan.trials),
        "num_counted": len(main),
        "num_catch": plan.num_catch,
        "most_catch_misses": plan.most_catch_misses,
        "detectable_share": {str(n): share for n, share in shares.items()},
    }
    print_result(Text("\n".join(lines)), as_json=as_json, data=data)
