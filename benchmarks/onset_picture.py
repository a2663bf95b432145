"""The figure of docs/timing.md: one sound made at five times, and what two trainings show of it.

`python -m benchmarks.onset_picture RUN RUN OUT.png`: runs of `cutting_edge` on `tiny`, by their
folders. Everything but the time of the event is the same, the noise too.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from core.embedded.corpus.classes import Attributes, caption
from core.embedded.corpus.sound import synthesise_clip
from core.randomness import rng
from harness.generate.answer import Answer
from harness.generate.trained import loaded_branch

ONSETS = (0.0, 0.25, 0.5, 0.75, 1.0)
CLASSES = ("dog_barking", "siren", "fire")
SIDE_PX, ENVELOPE_PX, MARGIN_PX, LABEL_PX = 96, 34, 6, 92
_INK, _PAPER = (40, 44, 52), (255, 255, 255)


@dataclass(frozen=True)
class How:
    """As `tiny` samples."""

    draw: int = 0
    noise_seed: int = 0
    audio_scale: float = 1.0
    text_guidance: float = 3.0
    steps: int = 12


def sounds(cls: str) -> list[np.ndarray]:
    """The same clip with its event at each time."""
    return [
        synthesise_clip(cls, Attributes(0.35, 0.6, 0.8, onset), rng(0, "onset picture", cls))
        for onset in ONSETS
    ]


def envelope(clip: np.ndarray) -> Image.Image:
    """Its loudness over time."""
    picture = Image.new("RGB", (SIDE_PX, ENVELOPE_PX), _PAPER)
    draw = ImageDraw.Draw(picture)
    parts = np.array_split(np.square(clip), SIDE_PX)
    heights = np.sqrt([part.mean() for part in parts])
    for x, height in enumerate(heights / heights.max()):
        half = height * (ENVELOPE_PX - 2) / 2
        draw.line([(x, ENVELOPE_PX / 2 - half), (x, ENVELOPE_PX / 2 + half)], fill=_INK)
    return picture


def main(runs: list[Path], out: Path) -> None:
    """Draw it."""
    images: dict[tuple[str, str], np.ndarray] = {}
    for run in runs:
        with loaded_branch(run, device="cpu") as branch:
            name = branch.model.variant.config.position.value
            for cls in CLASSES:
                answer = Answer(branch, sounds(cls), text=caption(cls))
                images[cls, name] = answer.images(How())
    names = list(dict.fromkeys(name for _, name in images))
    block = ENVELOPE_PX + len(names) * (SIDE_PX + MARGIN_PX) + 3 * MARGIN_PX
    width = LABEL_PX + len(ONSETS) * (SIDE_PX + MARGIN_PX)
    sheet = Image.new("RGB", (width, len(CLASSES) * block), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for row, cls in enumerate(CLASSES):
        top = row * block + MARGIN_PX
        draw.text((MARGIN_PX, top + ENVELOPE_PX / 2 - 6), "the sound", fill=_INK)
        for column, clip in enumerate(sounds(cls)):
            left = LABEL_PX + column * (SIDE_PX + MARGIN_PX)
            sheet.paste(envelope(clip), (left, top))
            for place, name in enumerate(names):
                below = top + ENVELOPE_PX + MARGIN_PX + place * (SIDE_PX + MARGIN_PX)
                picture = Image.fromarray(images[cls, name][column])
                picture = picture.resize((SIDE_PX, SIDE_PX), Image.Resampling.NEAREST)
                sheet.paste(picture, (left, below))
                draw.text((MARGIN_PX, below + SIDE_PX / 2 - 6), name, fill=_INK)
    sheet.save(out, optimize=True)


if __name__ == "__main__":
    main([Path(word) for word in sys.argv[1:-1]], Path(sys.argv[-1]))
