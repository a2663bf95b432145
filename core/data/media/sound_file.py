"""Opens sounds that libsndfile alone reads in part or not at all: a chain of Ogg streams, junk
before the first byte of sound, a FLAC that does not know its length.
"""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

UNKNOWN_FRAMES = 2**63 - 1
"""What libsndfile says of a FLAC that was written to a pipe."""


class Sound(soundfile.SoundFile):
    """A sound file; one of unknown length is read through without a seek.

    soundfile seeks to where it is after every read, which fails at the end of such a FLAC.
    """

    def seekable(self) -> bool:
        """Whether it may be sought in."""
        return self.frames != UNKNOWN_FRAMES and bool(super().seekable())


class Slice(io.RawIOBase):
    """Bytes `start` to `end` of a file, as a file."""

    def __init__(self, path: Path, *, start: int, end: int) -> None:
        self._file = path.open("rb")
        self._start, self._end = start, end
        self._file.seek(start)

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Place, from the first byte of the slice."""
        return self._file.tell() - self._start

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place that is counted from the first byte of the slice, from here or the end."""
        base = {os.SEEK_SET: self._start, os.SEEK_CUR: self._file.tell(), os.SEEK_END: self._end}
        self._file.seek(max(self._start, base[whence] + offset))
        return self.tell()

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` as far as the slice goes."""
        left = max(0, self._end - self._file.tell())
        view = memoryview(buffer).cast("B")
        return self._file.readinto(view[: min(len(view), left)])

    def close(self) -> None:
        """Close the file."""
        if hasattr(self, "_file"):
            self._file.close()
        super().close()


class Chain:
    """Several streams of one file, one after the other, read as one sound."""

    def __init__(self, path: Path, *, starts: Sequence[int], size: int) -> None:
        """Raises: soundfile.LibsndfileError; ValueError for streams that do not fit together."""
        self._parts: list[soundfile.SoundFile] = []
        self._index = 0
        try:
            for start, end in zip(starts, [*starts[1:], size], strict=True):
                self._parts.append(Sound(Slice(path, start=start, end=end)))
            first = self._parts[0]
            kinds = {(part.samplerate, part.channels) for part in self._parts}
            if len(kinds) > 1:
                raise ValueError(
                    f"the file is a chain of {len(self._parts)} streams that differ in rate or "
                    "channels; write it as one stream"
                )
        except BaseException:
            self.close()
            raise
        self.samplerate, self.channels = first.samplerate, first.channels
        self.subtype, self.format = first.subtype, first.format
        self.frames = sum(part.frames for part in self._parts)

    def read(self, num_frames: int, *, dtype: str, always_2d: bool) -> np.ndarray:
        """Up to `num_frames` samples [S, C], fewer only at the end of the last stream."""
        blocks: list[np.ndarray] = []
        left = num_frames
        while left > 0 and self._index < len(self._parts):
            block_SC = self._parts[self._index].read(left, dtype=dtype, always_2d=always_2d)
            blocks.append(block_SC)
            left -= len(block_SC)
            if left > 0:
                self._index += 1
        return np.concatenate(blocks) if blocks else np.zeros((0, self.channels), dtype)

    def close(self) -> None:
        """Close all streams."""
        for part in self._parts:
            part.close()

    def __enter__(self) -> "Chain":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
