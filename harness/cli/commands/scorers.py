"""`harness scorers ...`: the networks that score, judged themselves."""

from pathlib import Path

import typer

from harness.cli.commands.options import (
    AsJson,
    Data,
    DeviceOption,
    ProfileOption,
    Results,
    Set,
    print_result,
)

app = typer.Typer(
    name="scorers",
    help="Judge the networks that score: what they tell apart on the real clips of a split.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@app.callback()
def group() -> None:
    """Judge the networks that score."""


@app.command()
def check(
    profile: ProfileOption = "tiny",
    data: Data = None,
    set_: Set = None,
    results: Results = Path("results"),
    device: DeviceOption = None,
    as_json: AsJson = False,
) -> None:
    """Give each scorer a certificate on the real test clips; nothing is trained.

    Does it tell a clip's own picture from another's, across classes and within a class, with an
    interval, and what do gain, crop and resampling change? Certificates lie in
    RESULTS/certificates. A comparison or report of the same split makes no claim about listening
    that rests on a scorer at chance, and says why.
    """
    from harness.report.terminal.scorers import checked_data, checked_view
    from harness.run.certificates import CheckRequest, check_scorers
    from harness.wording.display import open_display

    request = CheckRequest(
        profile=profile,
        overrides=tuple(set_ or ()),
        data=data,
        results=results,
        device=device,
    )
    with open_display() as display:
        checked = check_scorers(request, display=display)
    print_result(checked_view(checked), as_json=as_json, data=checked_data(checked))
