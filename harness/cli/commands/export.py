"""`harness export`."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.commands.options import AsJson, DeviceOption, Results, print_result


def export(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A finished run: id, the start of an id, or path.")
    ],
    out: Annotated[
        Path, typer.Option(file_okay=False, help="An empty folder, or one that does not exist yet.")
    ],
    results: Results = Path("results"),
    device: DeviceOption = None,
    as_json: AsJson = False,
) -> None:
    """Write a trained branch as a folder that plain diffusers loads, without this package.

    It holds a pipeline file, copies of the branch's modules, its weights, its LoRA in diffusers'
    own format where it has one, and the frozen models.
    """
    from rich.text import Text

    from harness.export.export import export as run_export
    from harness.records.names import run_folders
    from harness.run.device import training_device

    (folder,) = run_folders([run], results=results)
    exported = run_export(folder, out=out, device=training_device(device))
    lines = [f"note: {notice}" for notice in exported.notices]
    lines += [
        f"exported to {out}; load it with",
        f'  DiffusionPipeline.from_pretrained("{out}", custom_pipeline="{out}", '
        "trust_remote_code=True)",
    ]
    if exported.lora is not None:
        lines.append(f"LoRA of the UNet alone: {exported.lora}")
    data = {
        "folder": str(out),
        "lora": None if exported.lora is None else str(exported.lora),
        "notices": list(exported.notices),
    }
    print_result(Text("\n".join(lines)), as_json=as_json, data=data)
