"""Disk, file system and clock, where the results go."""

import os
import shutil
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from core.locks import FileLock
from harness.costs.matrix import MatrixPlan
from harness.doctor.finding import Finding, bad, good, note
from harness.wording.numbers import size

_MOST_SKEW_S = 5.0
_FIRST_YEAR = 2026
_NETWORK = ("nfs", "cifs", "smb", "fuse", "9p", "ceph", "lustre", "beegfs")


def check_disk(results: Path, *, plan: MatrixPlan, is_fetched: bool) -> Finding:
    """Whether the matrix fits on the disk of the results. is_fetched: the models are here."""
    free = shutil.disk_usage(_there(results)).free
    need = plan.disk.total - (plan.disk.weights or 0.0 if is_fetched else 0.0)
    words = f"{size(free)} free at {results}; {plan.num_runs} runs take {size(need)} at most"
    if free < need:
        return bad("disk", f"{words}: free some, or name another disk with --results")
    return good("disk", words)


def check_file_system(results: Path) -> Finding:
    """Whether files can be written, locked, linked and renamed where the results go."""
    name, there = "file system", _there(results)
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=there) as scratch:
            folder = Path(scratch)
            (folder / "a").write_bytes(b"a")
            with FileLock(folder / "lock"):
                pass
            (folder / "a").rename(folder / "b")
            can_link = True
            try:
                os.link(folder / "b", folder / "c")
            except OSError:
                can_link = False
    except OSError as error:
        return bad(
            name,
            f"{there} cannot be used ({error.strerror}): name a folder that can be written with "
            "--results",
        )
    kind = _kind(there)
    words = f"{kind or 'unknown kind'} at {there}: written, locked and renamed"
    if not can_link:
        return note(name, f"{words}; no hard links, so taken-over checkpoints are copied")
    if kind is not None and kind.startswith(_NETWORK):
        return note(name, f"{words}; it is a network's, so checkpoints take longer")
    return good(name, words)


def check_clock(results: Path, *, now: float | None = None) -> Finding:
    """Whether the clock is plausible, and the file system's is the same."""
    name, moment = "clock", time.time() if now is None else now
    told = datetime.fromtimestamp(moment, tz=UTC)
    if told.year < _FIRST_YEAR:
        return bad(
            name,
            f"it says {told:%Y-%m-%d}, before this version was made: records would be dated "
            "wrongly and downloads refused",
            "sudo timedatectl set-ntp true",
        )
    try:
        with tempfile.NamedTemporaryFile(prefix=".doctor-", dir=_there(results)) as file:
            file.write(b"a")
            file.flush()
            skew = os.stat(file.name).st_mtime - time.time()
    except OSError:
        return good(name, f"{told:%Y-%m-%d %H:%M} UTC")  # check_file_system says what is wrong
    if abs(skew) > _MOST_SKEW_S:
        return note(
            name,
            f"{told:%Y-%m-%d %H:%M} UTC, but the file system's is {skew:+.0f} s off: signs of life "
            "between machines are judged by it",
        )
    return good(name, f"{told:%Y-%m-%d %H:%M} UTC")


def _there(results: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    folder = results.absolute()
    while not folder.is_dir():
        folder = folder.parent
    return folder


def _kind(folder: Path) -> str | None:
    """Type of the file system that holds a folder; None where the system does not say."""
    mounts = Path("/proc/mounts")
    if not mounts.is_file():
        return None
    best, kind = "", None
    for line in mounts.read_text(errors="replace").splitlines():
        where, found = line.split()[1:3]
        if len(where) > len(best) and folder.resolve().is_relative_to(where):
            best, kind = where, found
    return kind
