"""Options that several commands share, and how a command prints."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

DEFAULT_PROFILE = "tiny"
ProfileOption = Annotated[str, typer.Option(help="tiny, sd15, or the path of a TOML file.")]
ProfileOverConfig = Annotated[
    str | None,
    typer.Option(
        help="tiny, sd15, or the path of a TOML file.",
        show_default=f"that of --config, or {DEFAULT_PROFILE}",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one setting, like stage2.lr=3e-5."),
]
Data = Annotated[
    str | None, typer.Option(help="A folder of audio-image pairs, or a lock file of a split.")
]
Results = Annotated[Path, typer.Option(help="Folder of runs, caches and reports.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def print_result(view: Any, *, as_json: bool, data: Any) -> None:
    """Print `data` as JSON, or `view` for a person."""
    if as_json:
        print(json.dumps(data, indent=2, allow_nan=False))
        return
    from harness.show import console

    console().print(view)
