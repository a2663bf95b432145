"""A PNG that shows, clip by clip, the sound, the real picture and what each branch generated."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from core.data.media.mel import mel_filters
from core.errors import UsageError
from core.files import write_atomic
from harness.metrics.pictures import read_square

_CELL = 192  # px: three times a 64 px image
_GAP = 12
_GROUP_GAP = 32
_MARGIN = 32
_LABEL_WIDTH = 172
_SOUND_WIDTH = 240
_WAVE_HEIGHT = 56  # of the cell; the spectrogram has the rest
MAX_ROWS = 40  # 8,000 px; a longer sheet no longer opens at a glance

_MEL_RANGE_HZ = (40.0, 20_000.0)
_FFT_SIZE = 2_048  # 43 ms at 48 kHz
_SHOWN_DB = 70.0  # below the loudest point of the sheet; less is paper

_PAPER = (255, 255, 255)
_INK = (28, 32, 38)
_FAINT = (120, 128, 138)
_LINE = (226, 229, 233)
_EMPTY = (243, 244, 246)
_WAVE = (52, 92, 150)


@dataclass(frozen=True)
class SheetRow:
    """One test clip."""

    label: str
    """Class, as written on the sheet."""
    sample_id: str
    """Shown small under the label."""
    real: Path | None
    """The clip's real picture."""
    images: Mapping[str, Path]
    """Image of each branch with the matching sound; a branch without one stays blank."""
    waveform: NDArray[np.float32] | None = None
    """The sound, mono, drawn above its mel spectrogram; one loudness scale for the sheet."""
    shuffled: Mapping[str, Path] = field(default_factory=dict)
    """Image of each branch with the mismatched sound, at the same noise."""
    sample_rate_hz: int = 48_000
    """Rate of `waveform`."""


class HasClass(Protocol):
    """What a clip needs to be chosen."""

    @property
    def sample_id(self) -> str: ...

    @property
    def class_name(self) -> str: ...


Clip = TypeVar("Clip", bound=HasClass)


def choose_clips(
    clips: Sequence[Clip], *, per_class: int = 1, most: int | None = None
) -> list[Clip]:
    """The clips to show, classes in alphabetical order; of more than `most` those first by hash.

    By hash of the id, so that nobody picked them and every sheet on a split shows the same.
    """
    by_class: dict[str, list[Clip]] = {}
    for clip in clips:
        by_class.setdefault(clip.class_name, []).append(clip)
    found = [
        clip
        for _, of_class in sorted(by_class.items())
        for clip in sorted(of_class, key=lambda clip: hash_of(clip.sample_id))[:per_class]
    ]
    if most is None or len(found) <= most:
        return found
    kept = {clip.sample_id for clip in sorted(found, key=lambda c: hash_of(c.sample_id))[:most]}
    return [clip for clip in found if clip.sample_id in kept]


def hash_of(sample_id: str) -> bytes:
    """What clips are ordered by so that nobody picked them."""
    return hashlib.sha256(sample_id.encode("utf-8", "replace")).digest()


def contact_sheet(
    rows: Sequence[SheetRow],
    *,
    columns: Sequence[str],
    out: Path,
    title: str | None = None,
    hides_absent_real: bool = False,
) -> Path:
    """Write the sheet to `out` and return it; `columns` are the branches, left to right.

    With any shuffled image on it, each branch has two images a row: its matching sound and a
    mismatched clip's. Images are shown as the scorers see them, at one size. hides_absent_real:
    leave the column of real pictures out where no row has one.

    Raises:
        UsageError: no rows, or more than fit on one sheet.
        DataError: an image file that cannot be read.
        NoSpaceError: the disk is full.
    """
    if not 1 <= len(rows) <= MAX_ROWS:
        raise UsageError(f"a contact sheet of {len(rows)} rows; expected 1 to {MAX_ROWS}")
    layout = _Layout(
        columns=tuple(columns),
        has_shuffled=any(row.shuffled for row in rows),
        has_real=any(row.real is not None for row in rows) or not hides_absent_real,
        title=title,
    )
    sheet = Image.new("RGB", (layout.width, layout.height(len(rows))), _PAPER)
    draw = ImageDraw.Draw(sheet)
    _draw_header(draw, layout)
    mels = [_mel_db(row) for row in rows]
    loudest_db = max((float(mel.max()) for mel in mels if mel is not None), default=0.0)
    loudest = max(
        (float(np.abs(row.waveform).max(initial=0.0)) for row in rows if row.waveform is not None),
        default=0.0,
    )
    for index, (row, mel) in enumerate(zip(rows, mels, strict=True)):
        top = layout.header + index * (_CELL + _GAP)
        _draw_label(draw, row, top=top)
        box = (layout.sound, top, layout.sound + _SOUND_WIDTH - 1, top + _CELL - 1)
        draw.rectangle(box, fill=_EMPTY)
        if row.waveform is not None and mel is not None:
            _draw_waveform(draw, row.waveform, left=layout.sound, top=top, full_scale=loudest)
            spectrogram = _spectrogram(mel, loudest_db=loudest_db)
            sheet.paste(spectrogram, (layout.sound, top + _WAVE_HEIGHT))
        if layout.has_real:
            _paste(sheet, draw, row.real, left=layout.real, top=top)
        for name, left in layout.branches.items():
            _paste(sheet, draw, row.images.get(name), left=left, top=top)
            if layout.has_shuffled:
                other = row.shuffled.get(name)
                _paste(sheet, draw, other, left=left + _CELL + _GAP, top=top)
    png = BytesIO()
    sheet.save(png, format="PNG", optimize=True)
    write_atomic(out, content=png.getvalue())
    return out


@dataclass(frozen=True)
class _Layout:
    columns: tuple[str, ...]
    has_shuffled: bool
    has_real: bool
    title: str | None

    @property
    def sound(self) -> int:
        return _MARGIN + _LABEL_WIDTH

    @property
    def real(self) -> int:
        return self.sound + _SOUND_WIDTH + _GROUP_GAP

    @property
    def group_width(self) -> int:
        return 2 * _CELL + _GAP if self.has_shuffled else _CELL

    @property
    def branches(self) -> dict[str, int]:
        first = self.real + (_CELL + _GROUP_GAP if self.has_real else 0)
        step = self.group_width + (_GROUP_GAP if self.has_shuffled else _GAP)
        return {name: first + index * step for index, name in enumerate(self.columns)}

    @property
    def width(self) -> int:
        right = max((left + self.group_width for left in self.branches.values()), default=0)
        return max(right, self.real + _CELL) + _MARGIN

    @property
    def title_height(self) -> int:
        return 50 if self.title else 0

    @property
    def header(self) -> int:
        return _MARGIN + self.title_height + (66 if self.has_shuffled else 40)

    def height(self, num_rows: int) -> int:
        return self.header + num_rows * (_CELL + _GAP) - _GAP + _MARGIN


def _font(size: int, *, weight: str = "normal") -> ImageFont.FreeTypeFont:
    from matplotlib import font_manager

    return ImageFont.truetype(
        font_manager.findfont(font_manager.FontProperties(family="DejaVu Sans", weight=weight)),
        size,
    )


def _draw_header(draw: ImageDraw.ImageDraw, layout: _Layout) -> None:
    if layout.title:
        draw.text((_MARGIN, _MARGIN - 6), layout.title, font=_font(25, weight="bold"), fill=_INK)
    top = _MARGIN + layout.title_height
    bold = _font(19, weight="bold")
    for text, left, width in (
        ("sound", layout.sound, _SOUND_WIDTH),
        *((("real picture", layout.real, _CELL),) if layout.has_real else ()),
        *((name, left, layout.group_width) for name, left in layout.branches.items()),
    ):
        draw.text(
            (left + width / 2, top),
            _shortened(text, bold, width),
            font=bold,
            fill=_INK,
            anchor="ma",
        )
    if layout.has_shuffled:
        small = _font(15)
        for left in layout.branches.values():
            for offset, text in ((0, "matching sound"), (_CELL + _GAP, "mismatched sound")):
                middle = left + offset + _CELL / 2
                draw.text((middle, top + 28), text, font=small, fill=_FAINT, anchor="ma")
    line = layout.header - 11
    draw.line((_MARGIN, line, layout.width - _MARGIN, line), fill=_LINE, width=1)


def _draw_label(draw: ImageDraw.ImageDraw, row: SheetRow, *, top: int) -> None:
    bold, small = _font(19, weight="bold"), _font(13)
    width = _LABEL_WIDTH - _GAP
    label = _shortened(row.label.replace("_", " "), bold, width)
    middle = top + _CELL / 2
    draw.text((_MARGIN, middle - 2), label, font=bold, fill=_INK, anchor="ls")
    draw.text(
        (_MARGIN, middle + 19),
        _shortened(row.sample_id, small, width),
        font=small,
        fill=_FAINT,
        anchor="ls",
    )


def _draw_waveform(
    draw: ImageDraw.ImageDraw,
    waveform: NDArray[np.float32],
    *,
    left: int,
    top: int,
    full_scale: float,
) -> None:
    middle, reach = top + _WAVE_HEIGHT / 2, _WAVE_HEIGHT / 2 - 4
    for x, piece in enumerate(np.array_split(waveform.astype(np.float64), _SOUND_WIDTH)):
        # The square root keeps a quiet clip visible beside the loudest.
        peak = np.sqrt(np.abs(piece).max(initial=0.0) / full_scale) if full_scale > 0 else 0.0
        half = max(0.5, float(peak) * reach)
        draw.line((left + x, middle - half, left + x, middle + half), fill=_WAVE, width=1)


def _mel_db(row: SheetRow) -> NDArray[np.float64] | None:
    """[bands, frames] mel power in dB, low bands first; None without a sound."""
    if row.waveform is None or not len(row.waveform):
        return None
    return mel_db(
        row.waveform,
        sample_rate_hz=row.sample_rate_hz,
        num_bands=(_CELL - _WAVE_HEIGHT) // 2,
        num_frames=_SOUND_WIDTH,
    )


def mel_db(
    waveform: NDArray[np.float32], *, sample_rate_hz: int, num_bands: int, num_frames: int
) -> NDArray[np.float64]:
    """[num_bands, num_frames] mel power in dB of a mono sound, low bands first."""
    wave = waveform.astype(np.float64)
    starts = np.linspace(0, max(0, len(wave) - _FFT_SIZE), num_frames).astype(int)
    padded = np.pad(wave, (0, _FFT_SIZE))
    frames = np.stack([padded[start : start + _FFT_SIZE] for start in starts])
    power = np.abs(np.fft.rfft(frames * np.hanning(_FFT_SIZE), axis=1)) ** 2
    highest_hz = min(_MEL_RANGE_HZ[1], sample_rate_hz / 2)
    filters = mel_filters(
        num_bands,
        fft_size=_FFT_SIZE,
        sample_rate_hz=sample_rate_hz,
        lowest_hz=_MEL_RANGE_HZ[0],
        highest_hz=highest_hz,
    )
    decibels: NDArray[np.float64] = 10.0 * np.log10(filters @ power.T + 1e-12)
    return decibels


def mel_shade(mel: NDArray[np.float64], *, loudest_db: float) -> NDArray[np.float64]:
    """[bands, frames] from 0 (silent) to 1 (loudest), high bands on top."""
    return np.clip((mel[::-1] - loudest_db) / _SHOWN_DB + 1.0, 0.0, 1.0)


def _spectrogram(mel: NDArray[np.float64], *, loudest_db: float) -> Image.Image:
    """High bands on top, from paper (silent) to ink (loudest)."""
    shade = mel_shade(mel, loudest_db=loudest_db)[..., None]
    stops = np.array([_EMPTY, _WAVE, _INK], dtype=np.float64)
    colours = np.where(
        shade < 0.7,
        stops[0] + (stops[1] - stops[0]) * shade / 0.7,
        stops[1] + (stops[2] - stops[1]) * (shade - 0.7) / 0.3,
    )
    image = Image.fromarray(colours.round().astype(np.uint8))
    return image.resize((_SOUND_WIDTH, _CELL - _WAVE_HEIGHT), resample=Image.Resampling.BICUBIC)


def _paste(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, path: Path | None, *, left: int, top: int
) -> None:
    if path is None:
        draw.rectangle((left, top, left + _CELL - 1, top + _CELL - 1), fill=_EMPTY)
        return
    sheet.paste(Image.fromarray(read_square(path, size=_CELL)), (left, top))


def _shortened(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    text = " ".join(text.split())  # PIL measures one line only
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
