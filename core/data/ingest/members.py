"""Which members of an archive may be read, by name and kind."""

import tarfile

from core.data.ingest.endings import OF_SYSTEM, is_of_system
from core.data.items import Reason


def problem_of(member: tarfile.TarInfo) -> tuple[Reason, str] | None:
    """Why it is not read; None where it is a plain file under a name that stays in the archive."""
    name = member.name
    if member.issym() or member.islnk():
        return Reason.UNSAFE_MEMBER, f"a link to {printable(member.linkname)!r} is not followed"
    if not member.isreg():
        return Reason.UNSAFE_MEMBER, "neither a file nor a folder (a device or a pipe)"
    if member.issparse():
        return Reason.UNSAFE_MEMBER, "a sparse file, whose size says nothing"
    if name.startswith("/") or "\\" in name or name[1:2] == ":":
        return Reason.UNSAFE_MEMBER, "an absolute path, or one of another system"
    if ".." in name.split("/"):
        return Reason.UNSAFE_MEMBER, "a path with '..', which leaves the archive"
    if "\0" in name or printable(name) != name:
        return Reason.UNREADABLE, "the member's name is not valid UTF-8"
    if is_of_system(name.split("/")):
        return OF_SYSTEM
    return None


def printable(name: str) -> str:
    """The name with what is not UTF-8 escaped."""
    return name.encode("utf-8", "backslashreplace").decode()
