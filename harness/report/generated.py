"""Generated images side by side: sounds and draws down, branches and audio scales across."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.generate.generate import Generated
from harness.generate.sounds import Sound
from harness.report.contact_sheet import SheetRow, contact_sheet

_MAX_ROWS = 40


def draw_generated(images: Sequence[Generated], *, out: Path) -> list[Path]:
    """Write `sheet.png`, and further ones where a sheet would be too long; returns their paths."""
    scales = list(dict.fromkeys(image.parameters.audio_scale for image in images))
    names = run_names({image.parameters.run_id: image.branch for image in images})

    def column(image: Generated) -> str:
        name = names[image.parameters.run_id]
        return name if len(scales) == 1 else f"{name}, sound x {image.parameters.audio_scale:g}"

    columns = list(dict.fromkeys(column(image) for image in images))
    captions = list(dict.fromkeys(image.parameters.text for image in images))
    rows: dict[tuple[int, int, int], SheetRow] = {}
    placed: dict[tuple[int, int, int], dict[str, Path]] = {}
    order = {id(image.sound): index for index, image in enumerate(images)}
    for image in images:
        text, draw = image.parameters.text, image.parameters.draw
        key = (order[id(image.sound)], captions.index(text), draw)
        placed.setdefault(key, {})[column(image)] = image.path
        rows[key] = SheetRow(
            label=_label(image.sound),
            sample_id=f"noise {draw}" if len(captions) == 1 else f"noise {draw}, {text}",
            real=None,
            images=placed[key],
            waveform=image.sound.waveform_S,
        )
    in_order = [rows[key] for key in sorted(rows)]
    paths = []
    for start in range(0, len(in_order), _MAX_ROWS):
        name = "sheet.png" if start == 0 else f"sheet-{start // _MAX_ROWS + 1}.png"
        part = in_order[start : start + _MAX_ROWS]
        paths.append(contact_sheet(part, columns=columns, out=out / name, hides_absent_real=True))
    return paths


def _label(sound: Sound) -> str:
    """Short enough for the margin: the weights of a mixture say which it is."""
    if len(sound.parts) == 1:
        return sound.label
    return "mix " + " : ".join(f"{part.weight:g}" for part in sound.parts)


def run_names(branches: Mapping[str, str]) -> dict[str, str]:
    """What each run is called: its branch; with seed, then whole, where these are not unique.

    branches: by run id.
    """
    for name in (lambda run_id: branches[run_id], lambda run_id: run_id.rpartition("-")[0]):
        names = {run_id: name(run_id) for run_id in branches}
        if len(set(names.values())) == len(names):
            return names
    return {run_id: run_id for run_id in branches}
