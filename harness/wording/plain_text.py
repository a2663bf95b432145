"""Text that came from users' files, made fit for one line of a terminal or a page."""

import unicodedata

_REPLACEMENT = "\ufffd"
# These reorder or hide what stands around them: a name must not be able to do that.
_INVISIBLE = {*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF}


def plain(text: object) -> str:
    """One line of printable text: ids, classes and captions come from users' files.

    Line ends become spaces; control characters, halves of surrogate pairs and characters that
    turn or hide text become the replacement character. Escaping is the templates' work.
    """
    return "".join(_printable(ch) for ch in str(text))


def _printable(ch: str) -> str:
    if ch in "\t\n\r\v\f\u2028\u2029":
        return " "
    if ord(ch) in _INVISIBLE or unicodedata.category(ch) in {"Cc", "Cs", "Cn", "Co"}:
        return _REPLACEMENT
    return ch
