"""`harness probe`."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import UsageError, suggestion
from harness.cli.commands.options import AsJson, DeviceOption, Results, print_result

if TYPE_CHECKING:
    from harness.probe.alterations import Property


def probe(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...", help="Finished runs: id, the start of an id, or path; side by side."
        ),
    ],
    audio: Annotated[
        list[Path] | None,
        typer.Option(
            help="A sound file or a folder of sound files; may be repeated (default: test clips "
            "of the first run, with their captions).",
        ),
    ] = None,
    clips: Annotated[
        int, typer.Option(min=1, help="Without --audio: how many test clips, chosen by hash.")
    ] = 16,
    text: Annotated[str, typer.Option(help="With --audio: caption of every sound.")] = "",
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--property",
            help="Alter this alone: gain, pitch, tempo, reverberation, noise, shift or mix; may "
            "be repeated (default: each of them).",
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, max=64, help="Noises that each altered sound is sampled from.")
    ] = 1,
    noise_seed: Annotated[int, typer.Option(min=0, help="Seed of the noises.")] = 0,
    out: Annotated[
        Path, typer.Option(file_okay=False, help="Folder for images, strips, numbers and page.")
    ] = Path("probe"),
    results: Results = Path("results"),
    device: DeviceOption = None,
    as_json: AsJson = False,
) -> None:
    """What does a branch respond to? Change one property of a sound at a time, at fixed noise.

    Measures how the images answer: slope, monotonicity and bootstrap interval for each branch;
    writes probe.json, a strip of images for each property, and a page.
    """
    from rich.text import Text

    from harness.generate.generate import window_of
    from harness.generate.sounds import sound_files
    from harness.probe.probe import ProbeOptions
    from harness.probe.probe import probe as run_probe
    from harness.probe.sounds import clip_sounds, own_sounds
    from harness.records.names import run_folders
    from harness.records.record import load_record
    from harness.report.generated import run_names
    from harness.report.probe.write import heard, strip_paths, write_probe
    from harness.run.device import training_device
    from harness.wording.display import open_display

    folders = run_folders(runs, results=results)
    window_s = window_of(folders)
    if audio:
        sounds = own_sounds(sound_files(audio), window_s=window_s, text=text)
    elif text:
        raise UsageError("--text requires --audio; test clips are sampled with their own captions")
    else:
        sounds = clip_sounds(folders[0], most=clips, window_s=window_s)
    options = ProbeOptions(
        properties=_properties(only or []),
        num_draws=seeds,
        noise_seed=noise_seed,
        device=training_device(device),
    )
    branches = {folder.name: load_record(folder).identity.variant for folder in folders}
    names = run_names(branches)
    with open_display() as display:
        probed = run_probe(
            {names[folder.name]: folder for folder in folders},
            sounds=sounds,
            options=options,
            out=out,
            command=shlex.join(["harness", *sys.argv[1:]]),
            progress=display.phase,
        )
    written = write_probe(probed, out=out)
    record = probed.record
    lines = [heard(record, run) for run in record.runs]
    lines += [f"note: {notice}" for notice in record.notices]
    lines += [f"report  {written.page}", f"strips  {strip_paths(record, out)[0].parent}"]
    data = {
        "report": str(written.page),
        "strips": [str(path) for path in strip_paths(record, out)],
        **record.model_dump(mode="json"),
    }
    print_result(Text("\n".join(lines)), as_json=as_json, data=data)


def _properties(names: list[str]) -> tuple["Property", ...]:
    from harness.probe.alterations import PROPERTIES

    known = {prop.name: prop for prop in PROPERTIES}
    for name in names:
        if name not in known:
            raise UsageError(
                f"no property named '{name}'; known: {', '.join(known)}{suggestion(name, known)}"
            )
    return tuple(known[name] for name in dict.fromkeys(names)) or PROPERTIES
