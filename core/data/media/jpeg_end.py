"""A JPEG that lacks its end-of-image marker and nothing else, told from one that was cut short.

Viewers show both, the second with grey where its end was; so a marker that is put in their place is
no proof. Here each is decoded with other bytes between its last byte and the marker: they change
nothing where every block is there, and the next block where one is missing (ITU-T T.81, annex B).
"""

import hashlib
import re
from io import BytesIO

import numpy as np
from PIL import Image

_START, _END = b"\xff\xd8", b"\xff\xd9"
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
"""Not those inside of coded blocks: a byte of value 255 in them, and the eight restarts."""
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN = 0xDA
_FIRST_RESTART, _NUM_RESTARTS = 0xD0, 8
_NUM_COEFFICIENTS = 64
_MAX_BYTES = 1 << 28
"""More than a picture of 64 megapixels takes; nothing larger is read into memory."""
_FILL_BYTES = 96
_TAIL_BYTES = 16
"""Longer than a block of one shade, shorter than what a preallocated file has in zeros."""


def with_end_marker(content: bytes) -> bytes | None:
    """The bytes of a JPEG and the end marker that they lack; None where more than that is missing.

    Also None where the last bytes belong to no block: a half-loaded file that was filled up.
    """
    body = content.rstrip(b"\xff")  # half a marker
    if not body.startswith(_START) or len(body) > _MAX_BYTES or not _has_every_scan(body):
        return None
    is_whole = _has_every_block(body) and not _has_every_block(body[:-_TAIL_BYTES])
    return body + _END if is_whole else None


def _has_every_scan(body: bytes) -> bool:
    """Whether each coefficient of each component was sent to its last bit.

    A progressive JPEG that ends between two scans is a coarser picture without a hole.
    """
    components, settled = set[int](), set[tuple[int, int]]()
    place = len(_START)
    while (marker := _MARKER.search(body, place)) is not None:
        kind, place = marker[1][0], marker.end()
        length = int.from_bytes(body[place : place + 2])
        segment = body[place + 2 : place + length]
        if len(segment) != length - 2:
            return False
        if kind in _FRAMES and len(segment) > 5:
            components = set(segment[6::3])
        elif kind == _SCAN and segment and len(segment) >= 4 + 2 * segment[0]:
            first, last, bits = segment[1 + 2 * segment[0] :][:3]
            if bits & 0x0F == 0:
                of_scan = segment[1 : 1 + 2 * segment[0] : 2]
                settled |= {(c, k) for c in of_scan for k in range(first, last + 1)}
        place += length
    return bool(components) and settled >= {
        (c, k) for c in components for k in range(_NUM_COEFFICIENTS)
    }


def _has_every_block(body: bytes) -> bool:
    """Whether what follows the last byte changes no pixel."""
    if not _has_every_scan(body):
        return False
    try:
        pixels = _decoded(body + _END)
        return all(np.array_equal(pixels, _decoded(body + fill + _END)) for fill in _fills())
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def _decoded(content: bytes) -> np.ndarray:
    with Image.open(BytesIO(content), formats=("JPEG",)) as image:
        return np.asarray(image)


def _fills() -> list[bytes]:
    """Coded bits that no picture goes on with: plain, and after each restart, which alone a decoder
    reads that waits for it."""
    digests = [hashlib.shake_256(bytes([n])).digest(_FILL_BYTES) for n in range(2 * _NUM_RESTARTS)]
    bits = [digest.replace(b"\xff", b"") for digest in digests]
    restarts = [b"\xff" + bytes([_FIRST_RESTART + n]) for n in range(_NUM_RESTARTS)]
    behind = [restart + fill for restart, fill in zip(restarts, bits, strict=False)]
    return [*behind, *bits[_NUM_RESTARTS:]]
