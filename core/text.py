"""Text from anywhere: one Unicode form, and the encodings that editors write.

A Mac unpacks `빗소리` as eight code points (NFD), Windows and Linux as three (NFC); both print
alike. Whatever is compared or shown is in NFC, only paths keep the disk's own spelling.
"""

import codecs
import unicodedata
from pathlib import Path

_MARKS = (  # the longest first: that of UTF-32 begins like that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SHELL_PIPES = Path("/dev/fd")
_INVISIBLE = dict.fromkeys([0xAD, *range(0x200B, 0x2010), *range(0x2060, 0x2065), 0xFEFF])


def canonical(text: str) -> str:
    """`text` in Unicode's composed form, NFC: what prints the same way is equal."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def look(text: str) -> str:
    """What is left of a name when case, width, blanks and invisible characters are put aside."""
    folded = unicodedata.normalize("NFKC", text).casefold().translate(_INVISIBLE)
    return " ".join(folded.replace("_", " ").split())


def decode_text(content: bytes) -> str:
    """The text of a file in UTF-8, or in what its byte order mark says, without that mark.

    Raises: ValueError with a sentence for any other encoding.
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content.decode(encoding)
    head = content[:64]
    if head.count(0) > len(head) // 3:
        raise ValueError("it looks like UTF-16 without a byte order mark; save it as UTF-8")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"byte {error.start} is not UTF-8, as in files saved in an older encoding of Windows; "
            "save it as UTF-8"
        ) from None


def read_text(path: Path) -> str:
    """The text of a file, decoded by `decode_text`. Raises: OSError, ValueError.

    A pipe or a device that lies among the files is refused: it would be read without an end. The
    shell's `<(...)` is a pipe too, and known by its place.
    """
    if not path.is_file() and path.exists() and not path.is_dir() and path.parent != _SHELL_PIPES:
        raise ValueError("it is a pipe or a device, not a file")
    return decode_text(path.read_bytes())
