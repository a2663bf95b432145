"""The user's media folder built anew: every file of the inventory, with synthesised content.

Rules, for the 4,109 rows of `tests/data/clap2diffusion/inventory.csv.gz`:

- A wav of 78 bytes is ffmpeg's header and no sample, byte for byte that length. A longer one has
  the same header and is mono, 16 bit, 48,000 / `scale` Hz with (bytes - 78) / 2 / `scale` samples:
  its duration is real whatever the scale, its size is real at scale 1 and about a `scale`-th
  otherwise. What it holds is noise of its own.
- A jpg is a picture of its own, filled with comment segments to exactly its bytes.
- `.webm` and `.m4a` have their container's first bytes and exactly their size (zeros follow).
- The six files whose size the inventory leaves blank (`.part`, `.ytdl`, `.temp.m4a`) get a few.
- Two clips share the bytes of their sound with another of their size and class (`SHARED_AUDIO`);
  the data set's description counts two such clips and does not name them.
- The six metadata files lie beside them, word for word.
"""

import csv
import gzip
import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

HEADER_BYTES = 78
SHARED_AUDIO = (("-tONalCF3Uk", "2_gcAeeqzwQ"), ("ABBGCLK4O2w", "faeK4ATuCnE"))
_RATE_HZ = 48_000
_MAX_COMMENT = 65_533
_FIRST_BYTES = {
    ".webm": b"\x1a\x45\xdf\xa3",
    ".m4a": b"\0\0\0\x20ftypM4A ",
    ".ytdl": b'{"downloader": {"current_fragment": {"index": 3}, "extra_state": {}}}',
    ".part": b"\0\0\0\x20ftypisom",
}


@dataclass(frozen=True)
class Entry:
    """One row of the inventory."""

    path: str
    num_bytes: int | None
    """Size as it was; None where the inventory leaves it blank."""

    @property
    def suffix(self) -> str:
        return Path(self.path).suffix


def read_inventory(path: Path) -> tuple[Entry, ...]:
    """Every row, in order."""
    text = gzip.decompress(path.read_bytes()).decode()
    return tuple(
        Entry(row["path"], int(row["bytes"]) if row["bytes"] else None)
        for row in csv.DictReader(io.StringIO(text))
    )


def write_inventory(folder: Path, *, entries: tuple[Entry, ...], scale: int) -> None:
    """Write every file below `folder`; scale 1 gives wavs their true bytes (1.5 GB)."""
    for parent in {Path(entry.path).parent for entry in entries}:
        (folder / parent).mkdir(parents=True, exist_ok=True)
    twins = {f"audio/{copy}.wav": f"audio/{id_}.wav" for id_, copy in SHARED_AUDIO}
    for entry in entries:
        seed = zlib.crc32(twins.get(entry.path, entry.path).encode())
        path = folder / entry.path
        if entry.suffix == ".wav":
            path.write_bytes(_wav(int(entry.num_bytes or 0), seed=seed, scale=scale))
        elif entry.suffix == ".jpg":
            path.write_bytes(_jpg(int(entry.num_bytes or 0), seed=seed))
        else:
            with path.open("wb") as file:
                file.write(_FIRST_BYTES[entry.suffix])
                if entry.num_bytes is not None:
                    file.truncate(entry.num_bytes)


def _wav(num_bytes: int, *, seed: int, scale: int) -> bytes:
    num_samples = (num_bytes - HEADER_BYTES) // 2 // scale
    noise = np.random.default_rng(seed).integers(-6_000, 6_000, num_samples, dtype=np.int16)
    rate = _RATE_HZ // scale
    info = b"INFOISFT" + struct.pack("<I", 14) + b"Lavf58.76.100\0"
    fmt = struct.pack("<HHIIHH", 1, 1, rate, 2 * rate, 2, 16)
    data = noise.tobytes()
    body = b"WAVE" + _chunk(b"fmt ", fmt) + _chunk(b"LIST", info) + _chunk(b"data", data)
    return _chunk(b"RIFF", body)


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body


def _jpg(num_bytes: int, *, seed: int) -> bytes:
    cells = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    picture = Image.fromarray(cells).resize((48, 40), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=30, optimize=True)
    content = buffer.getvalue()
    comments = b"".join(_comments(num_bytes - len(content)))
    return content[:2] + comments + content[2:]


def _comments(num_bytes: int) -> Iterator[bytes]:
    """Comment segments of `num_bytes` in all; each has four bytes at least."""
    while num_bytes > 0:
        size = min(num_bytes, _MAX_COMMENT + 4)
        if 0 < num_bytes - size < 4:
            size -= 4
        if size < 4:
            raise ValueError(f"{num_bytes} bytes are too few for a comment")
        yield b"\xff\xfe" + struct.pack(">H", size - 2) + bytes(size - 4)
        num_bytes -= size
