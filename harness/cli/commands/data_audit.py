"""`harness data audit`."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.commands.options import AsJson, ProfileOption, Results, Set, print_result


def audit(
    targets: Annotated[
        list[Path],
        typer.Argument(help="Cleaned folders, lock files, or your own *_metadata.json files."),
    ],
    official: Annotated[
        Path | None, typer.Option(help="VGGSound's CSV, for its official test part and its labels.")
    ] = None,
    label_map: Annotated[
        str | None,
        typer.Option(help="Map from labels to classes: a TOML file, or the name of a shipped map."),
    ] = None,
    clap: Annotated[
        bool, typer.Option(help="Compare each sound with a sentence for each class, with CLAP.")
    ] = True,
    profile: ProfileOption = "tiny",
    set_: Set = None,
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Look for faults that decoding cannot find; nothing is changed.

    Finds clips that split files share (by id, bytes or source), labels that do not fit their
    class, clips of the official test part, divisions without a seed or strata, and likely
    mislabelled clips.
    """
    from harness.data.audit import AuditRequest, run_audit
    from harness.report.terminal.data_audit import audit_view
    from harness.wording.display import open_display

    request = AuditRequest(
        tuple(targets),
        official=official,
        label_map=label_map,
        profile=profile if clap else None,
        overrides=tuple(set_ or ()),
        results=results,
    )
    with open_display() as display:
        found = run_audit(request, display=display)
    print_result(audit_view(found), as_json=as_json, data=found.data())
