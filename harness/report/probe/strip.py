"""A strip: the levels of one property across; the sound and each branch's image of it down.

All images of a strip are of one noise.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from harness.metrics.pictures import read_square
from harness.probe.alterations import Wave
from harness.probe.cells import Cell
from harness.probe.record import ProbedProperty
from harness.report.contact_sheet import mel_db, mel_shade

_CELL, _GAP, _LABEL, _SOUND = 96, 6, 150, 48
_PAPER, _INK, _FAINT, _EMPTY = (255, 255, 255), (28, 32, 38), (100, 108, 118), (243, 244, 246)
_WAVE = np.array((52, 92, 150), dtype=np.float64)
_RATE_HZ = 48_000


def strip(
    prop: ProbedProperty,
    *,
    cells: Sequence[Sequence[Cell]],
    labels: Sequence[str],
    waveforms: Mapping[Cell, Wave],
    images: Mapping[str, Mapping[Cell, Path]],
) -> bytes:
    """A PNG.

    cells: for each sound shown, its cell at every level. labels: of these sounds. images: by what
        each branch is called; a cell without one stays blank.
    """
    rows = len(images)
    block = _SOUND + _GAP + rows * (_CELL + _GAP) + 2 * _GAP
    head = 3 * _GAP + 16
    width = _LABEL + len(prop.levels) * (_CELL + _GAP)
    sheet = Image.new("RGB", (width, head + block * len(cells)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    small, bold = _font(12), _font(12, weight="bold")
    draw.text((_GAP, _GAP), prop.name, font=bold, fill=_INK)
    lefts = [_LABEL + index * (_CELL + _GAP) for index in range(len(prop.levels))]
    for left, level in zip(lefts, prop.levels, strict=True):
        words = "as it is" if level == prop.reference else f"{level:+g}"
        draw.text((left + _CELL / 2, _GAP), words, font=bold, fill=_INK, anchor="ma")
    known = [waveforms[c] for of_sound in cells for c in of_sound if c in waveforms]
    loudest_db = max(float(_mel(wave_S).max()) for wave_S in known)
    for number, (of_sound, label) in enumerate(zip(cells, labels, strict=True)):
        top = head + number * block
        for line, words in enumerate(_wrapped(label, small)):
            draw.text((_GAP, top + 14 * line), words, font=small, fill=_FAINT)
        for left, cell in zip(lefts, of_sound, strict=True):
            if cell in waveforms:
                shade = mel_shade(_mel(waveforms[cell]), loudest_db=loudest_db)[..., None]
                colours = np.array(_EMPTY) + (_WAVE - np.array(_EMPTY)) * shade
                picture = Image.fromarray(colours.round().astype(np.uint8))
                sheet.paste(picture.resize((_CELL, _SOUND)), (left, top))
        for row, (name, own) in enumerate(images.items()):
            below = top + _SOUND + _GAP + row * (_CELL + _GAP)
            draw.text((_GAP, below + _CELL / 2), name, font=bold, fill=_INK, anchor="lm")
            for left, cell in zip(lefts, of_sound, strict=True):
                if cell in own:
                    pixels = read_square(own[cell], size=_CELL)
                    sheet.paste(Image.fromarray(pixels), (left, below))
                else:
                    box = (left, below, left + _CELL - 1, below + _CELL - 1)
                    draw.rectangle(box, fill=_EMPTY)
    content = BytesIO()
    sheet.save(content, format="PNG", optimize=True)
    return content.getvalue()


def _mel(wave_S: Wave) -> np.ndarray:
    return mel_db(wave_S, sample_rate_hz=_RATE_HZ, num_bands=_SOUND // 2, num_frames=_CELL)


def _wrapped(text: str, font: ImageFont.FreeTypeFont) -> list[str]:
    """At most three lines."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= _LABEL - 2 * _GAP or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines[:3]


def _font(size: int, *, weight: str = "normal") -> ImageFont.FreeTypeFont:
    from matplotlib import font_manager

    properties = font_manager.FontProperties(family="DejaVu Sans", weight=weight)
    return ImageFont.truetype(font_manager.findfont(properties), size)
