"""`harness new-variant`."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.commands.options import AsJson, print_result


def new_variant(
    name: Annotated[
        str, typer.Argument(help="Name of the branch, valid as the name of a Python module.")
    ],
    folder: Annotated[
        Path,
        typer.Option(
            "--dir",
            help="Parent of its folder: `variants` of this repository, or any other folder.",
        ),
    ] = Path(),
    as_json: AsJson = False,
) -> None:
    """Write a small working branch and its test, as a starting point for your own."""
    from rich.text import Text

    from harness.branches.scaffold import write_new_variant

    written = write_new_variant(name, folder=folder)
    lines = [f"wrote {path}" for path in written.files]
    lines += ["", "next:", *(f"  {step}" for step in written.next_steps)]
    data = {
        "variant": written.name,
        "folder": str(written.folder),
        "files": [str(path) for path in written.files],
        "next": list(written.next_steps),
    }
    print_result(Text("\n".join(lines)), as_json=as_json, data=data)
