"""`harness features`."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.commands.options import AsJson, Data, ProfileOption, Results, Set, print_result


def features(
    encoder: Annotated[str, typer.Option(help="msclap or laion-clap.")],
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Its checkpoint file (default: the published one, fetched from the hub)."
        ),
    ] = None,
    profile: ProfileOption = "tiny",
    set_: Set = None,
    data: Data = None,
    results: Results = Path("results"),
    gpu: Annotated[bool, typer.Option("--gpu", help="Run the encoder on the GPU.")] = False,
    print_only: Annotated[
        bool, typer.Option("--print", help="Print the commands without running them.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Embed a split's sounds with an encoder that needs its own virtual environment.

    Fetches its checkpoint, makes that environment from pinned requirements under the results
    folder, runs the encoder in it, and prints the setting by which a run conditions on its
    embeddings. `--print` prints the commands instead, for a machine with a network.
    """
    from core.features.exported import ExportedEmbeddings
    from harness.data.export import plan_export, require_known, run_export, shell_lines
    from harness.data.source import prepare_split
    from harness.settings.load import load_profile
    from harness.wording.display import open_display

    require_known(encoder)
    settings = load_profile(profile, overrides=tuple(set_ or ()))
    with open_display() as display:
        prepared = prepare_split(
            data, settings=settings.data, results=results, progress=display.phase
        )
    export = plan_export(
        encoder, split=prepared.split, weights=weights, results=results, on_gpu=gpu
    )
    payload = {
        "encoder": encoder,
        "feature": export.encoder.feature.value,
        "embeddings": str(export.out),
        "set": export.setting,
        "commands": [list(command) for command in export.commands],
    }
    if print_only:
        if as_json:
            print_result(None, as_json=True, data=payload)
        else:  # plain lines: a console would wrap them where they are to be copied
            print("\n".join(shell_lines(export)))
        return
    run_export(export)
    embeddings = ExportedEmbeddings.load(export.out)
    message = (
        f"{len(embeddings.keys)} sounds embedded, {embeddings.width} wide, in {export.out}\n"
        f"condition on them with: --set {export.setting}"
    )
    print_result(message, as_json=as_json, data=payload)
