"""Files by content hash, decoded only while they are what was locked.

Shape legend: S samples, H height, W width.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from core.data.items import Sample
from core.data.media.decode_audio import SAMPLE_RATE_HZ, decode_audio
from core.data.media.decode_image import decode_image, to_square, to_vae_input
from core.data.media.errors import MediaError
from core.data.splits.split import verify_sample
from core.errors import DataError
from core.features.crops import content_and_start
from core.features.index import SILENCE


class LockedMedia:
    """Decodes the samples' pictures and sounds by the hash of their bytes.

    root: folder that the samples' paths are relative to. window_s: seconds of sound returned.
    Every method that decodes raises MismatchError when a file of the sample is not the one that
    was locked, and DataError when it cannot be decoded.
    """

    def __init__(self, samples: Mapping[str, Sample], *, root: Path, window_s: float) -> None:
        self.window_s = window_s
        self._samples = samples
        self._root = root
        self._ids: dict[str, str] = {}
        for id_, sample in sorted(samples.items()):
            self._ids.setdefault(sample.image_sha256, id_)
            self._ids.setdefault(sample.audio_sha256, id_)

    def describe(self, key: str) -> str:
        """What a person calls a key: the first sample that has the content."""
        content, _ = content_and_start(key)
        return f"sample {self._ids[content]!r}" if content in self._ids else key

    def image(self, key: str, *, size: int, flip: bool) -> Tensor:
        """float32 [3, size, size] in [-1, 1]: the centre square, mirrored left to right by flip.

        Raises: DataError for what cannot be decoded; MismatchError for what is not as locked.
        """
        sample = self._checked(key)
        try:
            pixels_HWC = decode_image(self._root / sample.image_path)
        except MediaError as error:
            raise DataError(f"sample {sample.id!r}: {error}") from error
        square_HWC = to_square(pixels_HWC, size=size)
        return to_vae_input(square_HWC[:, ::-1] if flip else square_HWC)

    def waveform(self, key: str) -> np.ndarray:
        """float32 [S], 48 kHz mono, at most the window, from the start that the key names.

        Raises: as `image`.
        """
        if key == SILENCE:
            return np.zeros(round(self.window_s * SAMPLE_RATE_HZ), dtype=np.float32)
        content, start_ms = content_and_start(key)
        sample = self._checked(content)
        try:
            return decode_audio(
                self._root / sample.audio_path, window_s=self.window_s, start_s=start_ms / 1000
            )
        except MediaError as error:
            raise DataError(f"sample {sample.id!r}: {error}") from error

    def _checked(self, content: str) -> Sample:
        sample = self._samples[self._ids[content]]
        verify_sample(sample, root=self._root)
        return sample
