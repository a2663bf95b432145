"""Which sweep a user's words name."""

from pathlib import Path

from core.errors import UsageError
from harness.sweep.record import SWEEP

FOLDER = "sweeps"
"""Of a results folder."""


def sweep_folder(name: str, *, results: Path) -> Path | None:
    """The folder of a sweep: its path, that of its `sweep.json`, or the start of its name.

    None for what is no sweep.

    Raises:
        UsageError: the start of several names.
    """
    path = Path(name)
    if path.name == SWEEP and path.is_file():
        return path.parent
    if (path / SWEEP).is_file() and name:
        return path
    if not name or path.exists():
        return None
    known = sorted(p.parent.name for p in (results / FOLDER).glob(f"*/{SWEEP}"))
    found = [known_name for known_name in known if known_name.startswith(name)]
    if name in found:
        found = [name]
    if len(found) > 1:
        raise UsageError(
            f"'{name}' names {len(found)} sweeps: {', '.join(found[:5])}; give more of the name"
        )
    return results / FOLDER / found[0] if found else None
