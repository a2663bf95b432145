"""`harness weights`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.commands.options import AsJson, ProfileOption, Set, print_result


class Action(StrEnum):
    """What to do about the models."""

    SHOW = "show"
    GET = "get"


def weights(
    action: Annotated[
        Action,
        typer.Argument(
            help="show: print what is needed and where it is. get: fetch what is missing."
        ),
    ] = Action.SHOW,
    profile: ProfileOption = "sd15",
    scorers: Annotated[
        str,
        typer.Option(
            help="Scorers beyond the profile's, comma-separated: inception, lpips, wav2clip, "
            "sound, picture, dinov2, pe_av (in the place of wav2clip), or all."
        ),
    ] = "",
    folder: Annotated[
        Path, typer.Option(help="Folder for weights that are not on the hub.")
    ] = Path("models"),
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every file and check its hash.")
    ] = False,
    set_: Set = None,
    as_json: AsJson = False,
) -> None:
    """Show which models a profile needs, where they are, and the commands that fetch missing ones.

    Only files that are needed are fetched: 4.3 GB of Stable Diffusion v1.5, not the 47 GB of the
    whole repository.
    """
    from core.errors import MismatchError, MissingWeightsError
    from harness.report.terminal.weights import commands_text, weights_view
    from harness.settings.fetch import fetch
    from harness.settings.load import load_profile
    from harness.settings.weights import needed_models, verified

    settings = load_profile(profile, overrides=tuple(set_ or ()))
    names = [name.strip() for name in scorers.split(",") if name.strip()]
    needed = needed_models(settings, scorers=names, folder=folder)
    if action is Action.GET:
        fetch(needed, say=lambda line: typer.echo(line, err=True))
        needed = needed_models(settings, scorers=names, folder=folder)
    if verify:
        needed = [verified(model) for model in needed]
    problems = [model for model in needed if model.problem is not None]
    if problems and (verify or action is Action.GET):
        message = "; ".join(str(model.problem) for model in problems)
        if any(model.found is None for model in problems):
            raise MissingWeightsError(message)
        raise MismatchError(message)
    print_result(weights_view(needed), as_json=as_json, data=[model.data() for model in needed])
    text = commands_text(needed)
    if text and not as_json:
        typer.echo(text)  # a terminal must not wrap what is there to be copied
