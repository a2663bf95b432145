"""`harness generate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import MismatchError, UsageError
from harness.cli.commands.options import AsJson, DeviceOption, Results, print_result

if TYPE_CHECKING:
    from harness.generate.sounds import Sound


def generate(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN...",
            help="Finished runs: id, the start of an id, or path; shown side by side.",
        ),
    ] = None,
    audio: Annotated[
        list[Path] | None,
        typer.Option(help="A sound file or a folder of sound files; may be repeated."),
    ] = None,
    mix: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A:W,B:W", help="A weighted sum of sounds, like rain.wav:0.3,dog.wav:0.7."
        ),
    ] = None,
    interpolate: Annotated[
        int,
        typer.Option(min=0, help="With --mix of two files: this many steps from one to the other."),
    ] = 0,
    text: Annotated[
        str | None, typer.Option(help="Caption to condition on next to the sound (default: none).")
    ] = None,
    prompt_file: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            help="A text file with a caption per line; each sound is sampled with each of them.",
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, max=64, help="Images per sound, each from its own noise.")
    ] = 1,
    noise_seed: Annotated[int, typer.Option(min=0, help="Seed of the noises.")] = 0,
    audio_scale: Annotated[
        str,
        typer.Option(
            metavar="X[,X...]",
            help="Multiplies the run's audio guidance: 0 ignores the sound, 1 is as trained; "
            "several values make a grid.",
        ),
    ] = "1",
    text_guidance: Annotated[
        float | None, typer.Option(min=0, help="Guidance of the caption (default: the run's).")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Sampling steps (default: the run's).")
    ] = None,
    windows: Annotated[
        int, typer.Option(min=1, help="Maximum number of windows to take from a long file.")
    ] = 4,
    again: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False, help="Generate this image again from the parameters stored in it."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder for the images.")] = Path(
        "generated"
    ),
    results: Results = Path("results"),
    device: DeviceOption = None,
    as_json: AsJson = False,
) -> None:
    """Generate images from your own sounds by trained branches, from the same noise.

    Each PNG holds its parameters; --again IMAGE generates it again, equal in every pixel.
    """
    from rich.text import Text

    from harness.generate.generate import GenerateOptions, generate_again, window_of
    from harness.generate.generate import generate as run_generate
    from harness.generate.sounds import sound_files
    from harness.records.names import run_folders
    from harness.report.generated import draw_generated
    from harness.run.device import training_device
    from harness.wording.display import open_display

    files = sound_files(audio or [])
    if again is not None:
        _, is_equal = generate_again(
            again, results=results, device=training_device(device), audio=files
        )
        if not is_equal:
            raise MismatchError(
                f"{again} has different pixels when generated here; the device, the library "
                "versions or the code differ"
            )
        print_result(
            Text(f"{again} is equal in every pixel when generated again"),
            as_json=as_json,
            data={"image": str(again), "is_equal": True},
        )
        return
    if not runs:
        raise UsageError(
            "no run was given; name at least one finished run (harness list --runs shows them)"
        )
    folders = run_folders(runs, results=results)
    window_s = window_of(folders)
    sounds, notices = _sounds(
        files, mixes=mix or [], interpolate=interpolate, window_s=window_s, windows=windows
    )
    options = GenerateOptions(
        texts=_captions(text, prompt_file),
        num_draws=seeds,
        noise_seed=noise_seed,
        audio_scales=_scales(audio_scale),
        text_guidance=text_guidance,
        steps=steps,
        device=training_device(device),
    )
    with open_display() as display:
        images, more = run_generate(
            folders, sounds=sounds, options=options, out=out, progress=display.phase
        )
    sheets = draw_generated(images, out=out)
    lines = [*notices, *more, f"{len(images)} images in {out}"]
    lines += [f"side by side: {sheet}" for sheet in sheets]
    data = {
        "images": [
            {"path": str(i.path), "branch": i.branch, **i.parameters.model_dump(mode="json")}
            for i in images
        ],
        "sheets": [str(sheet) for sheet in sheets],
        "notices": [*notices, *more],
    }
    print_result(Text("\n".join(lines)), as_json=as_json, data=data)


def _captions(text: str | None, prompt_file: Path | None) -> tuple[str, ...]:
    if prompt_file is None:
        return (text or "",)
    if text is not None:
        raise UsageError("--text and --prompt-file cannot be combined; add the caption to the file")
    try:
        lines = prompt_file.expanduser().read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UsageError(f"--prompt-file {prompt_file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"--prompt-file {prompt_file} is not UTF-8 text") from None
    captions = tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not captions:
        raise UsageError(f"--prompt-file {prompt_file} holds no caption; write one per line")
    return captions


def _scales(text: str) -> tuple[float, ...]:
    try:
        scales = tuple(float(item) for item in text.split(","))
    except ValueError:
        raise UsageError(f"--audio-scale {text!r}; expected numbers like 0,0.5,1") from None
    if not all(0 <= scale <= 10 for scale in scales):
        raise UsageError(f"--audio-scale {text!r}; each must be between 0 and 10")
    return tuple(dict.fromkeys(scales))


def _sounds(
    files: list[Path], *, mixes: list[str], interpolate: int, window_s: float, windows: int
) -> tuple[list["Sound"], list[str]]:
    from dataclasses import replace

    from harness.generate.sounds import mixture, parse_mixture, windows_of

    sounds: list[Sound] = []
    notices = []
    for path in files:
        of_file, is_longer = windows_of(path, window_s=window_s, most=windows)
        sounds += of_file
        if is_longer:
            notices.append(
                f"{path} is longer than {windows} windows of {window_s:g} s; the rest is left out "
                "(raise --windows to use it)"
            )
    for item in mixes:
        parts = parse_mixture(item)
        if interpolate and len(parts) != 2:
            raise UsageError(
                f"--interpolate requires a --mix of two files; {item} has {len(parts)}"
            )
        if not interpolate:
            sounds.append(mixture(parts, window_s=window_s))
            continue
        for k in range(interpolate + 1):
            share = k / interpolate
            pair = [replace(parts[0], weight=1 - share), replace(parts[1], weight=share)]
            sounds.append(mixture(pair, window_s=window_s))
    if not sounds:
        raise UsageError("no sound was given; pass --audio FILE or --mix A.wav:0.3,B.wav:0.7")
    return sounds, notices
