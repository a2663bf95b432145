"""`harness edit`."""

from pathlib import Path
from typing import Annotated

import typer

from core.choices import KeptAttention
from harness.cli.commands.options import AsJson, DeviceOption, Results, print_result


def edit(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A finished run: id, the start of an id, or path.")
    ],
    image: Annotated[
        Path, typer.Option(dir_okay=False, help="The image; its centre square is edited.")
    ],
    audio: Annotated[Path, typer.Option(dir_okay=False, help="The sound; its first window.")],
    mask: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            help="An image that is white where the image may change; elsewhere pixels are kept.",
        ),
    ] = None,
    text: Annotated[str, typer.Option(help="Caption of the image as it should become.")] = "",
    source_text: Annotated[str, typer.Option(help="Caption of the image as it is.")] = "",
    strength: Annotated[
        float,
        typer.Option(help="Above 0 and up to 1: share of the steps that are sampled anew."),
    ] = 0.7,
    audio_scale: Annotated[
        float, typer.Option(min=0, max=10, help="Multiplies the run's audio guidance.")
    ] = 1.0,
    text_guidance: Annotated[
        float | None, typer.Option(min=0, help="Guidance of the caption (default: the run's).")
    ] = None,
    steps: Annotated[int, typer.Option(min=2, max=1000, help="DDIM steps.")] = 50,
    keep: Annotated[
        KeptAttention,
        typer.Option(
            help="Attention kept from the image: self (which places belong together), cross (what "
            "each place asks of caption and sound), both (all), features (self, and what a "
            "residual block adds: Plug-and-Play), or none."
        ),
    ] = KeptAttention.NONE,
    keep_until: Annotated[
        float,
        typer.Option(help="With --keep: share of the sampled steps in which it is kept."),
    ] = 0.5,
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder for the images.")] = Path(
        "edited"
    ),
    results: Results = Path("results"),
    device: DeviceOption = None,
    as_json: AsJson = False,
) -> None:
    """Edit an image towards a sound: DDIM inversion, then the branch's guidance.

    Writes the edit, the reconstruction without the sound, and all of them side by side, and says
    how much the inversion itself loses.
    """
    from rich.text import Text

    from core.errors import UsageError
    from core.files import why_no_file, write_atomic
    from harness.generate.edit import EditOptions
    from harness.generate.edit import edit as run_edit
    from harness.generate.generate import window_of
    from harness.generate.image_file import png_bytes
    from harness.generate.sounds import windows_of
    from harness.records.names import run_folders
    from harness.report.generated import side_by_side
    from harness.run.device import training_device

    for path in (image, audio, mask):
        if path is not None and not path.is_file():
            raise UsageError(f"{path} {why_no_file(path)}")
    (folder,) = run_folders([run], results=results)
    (sound, *_), _ = windows_of(audio, window_s=window_of([folder]), most=1)
    options = EditOptions(
        text=text,
        source_text=source_text,
        strength=strength,
        audio_scale=audio_scale,
        text_guidance=text_guidance,
        steps=steps,
        kept=keep,
        kept_until=keep_until,
        device=training_device(device),
    )
    edited = run_edit(folder, image=image, sound=sound, options=options, mask=mask)
    pictures = {
        "source": edited.source_HWC,
        "reconstruction": edited.reconstruction_HWC,
        "edited": edited.image_HWC,
    }
    paths = {name: out / f"{name}.png" for name in pictures}
    for name, pixels_HWC in pictures.items():
        write_atomic(paths[name], content=png_bytes(pixels_HWC))
    paths["side_by_side"] = side_by_side(pictures, out=out / "side_by_side.png")
    numbers = {
        "inversion_rmse": edited.inversion_rmse,
        "vae_rmse": edited.vae_rmse,
        "change_inside": edited.change_inside,
        "change_outside": edited.change_outside,
        "layout_kept": edited.layout_kept,
        "steps_taken": edited.steps_taken,
        "steps_kept": edited.steps_kept,
    }
    lines = [f"note: {notice}" for notice in edited.notices]
    lines += [
        f"edited  {paths['edited']}",
        f"side by side  {paths['side_by_side']}",
        f"the inversion loses {edited.inversion_rmse:.4f} (root mean square, pixels in 0 to 1), "
        f"the VAE alone {edited.vae_rmse:.4f}; the edit changes {edited.change_inside:.4f}",
        f"edges correlate with the source's by {edited.layout_kept:.2f}; attention is kept in "
        f"{edited.steps_kept} of {edited.steps_taken} steps",
    ]
    if edited.change_outside is not None:
        lines.append(f"outside the mask pixels change by {edited.change_outside:.4f}")
    data = {name: str(path) for name, path in paths.items()} | numbers
    print_result(Text("\n".join(lines)), as_json=as_json, data=data)
