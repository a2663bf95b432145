"""Generated images side by side: sounds and draws down, branches and audio scales across."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from core.files import write_atomic
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


def side_by_side(pictures: Mapping[str, NDArray[np.uint8]], *, out: Path) -> Path:
    """Write uint8 [H, W, 3] pictures in a row, each under its name; returns `out`."""
    from matplotlib import font_manager
    from PIL import ImageFont

    cell, gap, head = 256, 12, 32
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 15)
    size = (gap + len(pictures) * (cell + gap), head + cell + gap)
    sheet = Image.new("RGB", size, (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    for index, (name, pixels_HWC) in enumerate(pictures.items()):
        left = gap + index * (cell + gap)
        draw.text((left + cell / 2, 8), name, font=font, fill=(28, 32, 38), anchor="ma")
        picture = Image.fromarray(pixels_HWC).resize((cell, cell), Image.Resampling.LANCZOS)
        sheet.paste(picture, (left, head))
    content = BytesIO()
    sheet.save(content, format="PNG")
    write_atomic(out, content=content.getvalue())
    return out


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
