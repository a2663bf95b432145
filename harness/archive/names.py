"""Which names of files an archive may hold: none that leads out of the folder it is unpacked in."""

import re
from collections.abc import Sequence

LIST = "SHA256SUMS"
"""The first member: hash and name of every other one, as `sha256sum --check` reads it."""
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]")


def problem_of(name: str) -> str | None:
    """Why a name may not be in an archive, as the end of a sentence; None for one that may."""
    parts = name.split("/")
    if not name or name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "is not a path below the folder it is unpacked in"
    if any(part in ("", ".", "..") for part in parts):
        return "has an empty part, . or .. in its path"
    if _FORBIDDEN.search(name):
        return "has a backslash or a control character in its name"
    return None


def doubled(names: Sequence[str]) -> str | None:
    """The first name that is there twice, or that is a folder of another one; None without one."""
    files = set()
    for name in names:
        if name in files:
            return name
        files.add(name)
    folders = {"/".join(name.split("/")[:depth]) for name in names for depth in _depths(name)}
    return next((name for name in names if name in folders), None)


def _depths(name: str) -> range:
    return range(1, name.count("/") + 1)
