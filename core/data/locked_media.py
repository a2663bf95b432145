"""A split's files by content hash, decoded only while they are what was locked.

Shape legend: S samples, H height, W width.
"""

import numpy as np
from torch import Tensor

from core.data.decode import (
    SAMPLE_RATE_HZ,
    MediaError,
    decode_audio,
    decode_image,
    to_square,
    to_vae_input,
)
from core.data.manifest import Sample
from core.data.split import Split, verify_sample
from core.errors import DataError

SILENCE = "silence"
"""Key of digital silence, beside the content hashes."""


class LockedMedia:
    """Decodes the split's pictures and sounds by the hash of their bytes.

    window_s: seconds from the start of each clip that are returned.
    Every method that decodes raises MismatchError when a file of the sample is not the one that
    was locked, and DataError when it cannot be decoded.
    """

    def __init__(self, split: Split, *, window_s: float) -> None:
        self._split = split
        self._window_s = window_s
        self._ids: dict[str, str] = {}
        for id_, sample in sorted(split.samples.items()):
            self._ids.setdefault(sample.image_sha256, id_)
            self._ids.setdefault(sample.audio_sha256, id_)

    def describe(self, key: str) -> str:
        """What a person calls a content hash: the first sample that has it."""
        return f"sample {self._ids[key]!r}" if key in self._ids else key

    def image(self, key: str, *, size: int, flip: bool) -> Tensor:
        """float32 [3, size, size] in [-1, 1]: the centre square, mirrored left to right by flip."""
        sample = self._checked(key)
        try:
            pixels_HWC = decode_image(self._split.root / sample.image_path)
        except MediaError as error:
            raise DataError(f"sample {sample.id!r}: {error}") from error
        square_HWC = to_square(pixels_HWC, size=size)
        return to_vae_input(square_HWC[:, ::-1] if flip else square_HWC)

    def waveform(self, key: str) -> np.ndarray:
        """float32 [S], 48 kHz mono, at most the window."""
        if key == SILENCE:
            return np.zeros(round(self._window_s * SAMPLE_RATE_HZ), dtype=np.float32)
        sample = self._checked(key)
        try:
            return decode_audio(self._split.root / sample.audio_path, window_s=self._window_s)
        except MediaError as error:
            raise DataError(f"sample {sample.id!r}: {error}") from error

    def _checked(self, key: str) -> Sample:
        id_ = self._ids[key]
        verify_sample(self._split, id=id_)
        return self._split.samples[id_]
