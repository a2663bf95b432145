"""What the page asks for: every branch's images of one sound, within limits."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError, UsageError
from harness.generate.answer import Answer
from harness.generate.generate import GenerateOptions, parameters_of
from harness.generate.sounds import windows_of
from harness.generate.trained import loaded_branch


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one request may ask for."""

    max_bytes: int = 20_000_000
    """Of an uploaded sound."""
    max_seeds: int = 4
    """Noises."""
    max_scale: float = 5.0
    """Audio scale."""
    max_caption: int = 500
    """Characters."""


@dataclass(frozen=True)
class Shown:
    """One image and what stands under it."""

    pixels_HWC: NDArray[np.uint8]
    words: str


class Responder:
    """Branches that answer one request at a time.

    runs: folders of finished runs, by what each is called. window_s: sound that they condition on.
    """

    def __init__(
        self, runs: Mapping[str, Path], *, window_s: float, device: str, limits: Limits
    ) -> None:
        self.runs = dict(runs)
        self.window_s = window_s
        self.limits = limits
        self._device = device
        self._lock = threading.Lock()

    def respond(
        self, audio: str | Path | None, *, text: str, audio_scale: float, num_seeds: int
    ) -> tuple[list[Shown], str]:
        """Images by noise, the branches side by side, and a line on what was heard.

        Raises:
            UsageError: no sound, or more than the limits allow.
            DataError: a sound that cannot be decoded.
        """
        path = self._checked(audio, text=text, audio_scale=audio_scale, num_seeds=num_seeds)
        (sound, *_), is_longer = windows_of(path, window_s=self.window_s, most=1)
        options = GenerateOptions(num_draws=num_seeds, device=self._device)
        by_noise: dict[tuple[int, str], Shown] = {}
        with self._lock:  # one UNet serves all branches
            for name, folder in self.runs.items():
                with loaded_branch(folder, device=self._device) as branch:
                    answer = Answer(branch, [sound.waveform_S], text=text)
                    for draw in range(num_seeds):
                        how = parameters_of(
                            branch, sound, options, text=text, audio_scale=audio_scale, draw=draw
                        )
                        words = f"{name}, noise {draw}"
                        by_noise[draw, name] = Shown(answer.images(how)[0], words)
        seconds = len(sound.waveform_S) / 48_000
        heard = f"{seconds:.1f} s of sound"
        if is_longer:
            heard += f"; the first {self.window_s:g} s of a longer recording"
        ordered = [by_noise[draw, name] for draw in range(num_seeds) for name in self.runs]
        return ordered, heard

    def _checked(
        self, audio: str | Path | None, *, text: str, audio_scale: float, num_seeds: int
    ) -> Path:
        limits = self.limits
        if audio is None:
            raise UsageError("record a sound or drop a file first")
        path = Path(audio)
        if not path.is_file():
            raise DataError("the sound did not arrive; record or drop it again")
        size = path.stat().st_size
        if size > limits.max_bytes:
            raise UsageError(
                f"the sound has {size / 1e6:.0f} MB; at most {limits.max_bytes / 1e6:.0f} MB"
            )
        if not 1 <= num_seeds <= limits.max_seeds:
            raise UsageError(f"{num_seeds} noises; choose 1 to {limits.max_seeds}")
        if not 0 <= audio_scale <= limits.max_scale:
            raise UsageError(f"audio scale {audio_scale:g}; choose 0 to {limits.max_scale:g}")
        if len(text) > limits.max_caption:
            raise UsageError(f"the caption is longer than {limits.max_caption} characters")
        return path
