"""Which folder a user's words name."""

from pathlib import Path

from core.errors import UsageError


def named_folder(name: str, *, file: str, parent: Path, kind: str) -> Path | None:
    """The folder with `file` in it that is named: by its path, that of the file, or its start.

    parent: where folders are named by the start of their name. kind: what they are, in the plural.
    None for what names none.

    Raises:
        UsageError: the start of several names.
    """
    path = Path(name)
    if path.name == file and path.is_file():
        return path.parent
    if name and (path / file).is_file():
        return path
    if not name or path.exists():
        return None
    known = sorted(found.parent.name for found in parent.glob(f"*/{file}"))
    found = [name] if name in known else [one for one in known if one.startswith(name)]
    if len(found) > 1:
        raise UsageError(
            f"'{name}' names {len(found)} {kind}: {', '.join(found[:5])}; give more of the name"
        )
    return parent / found[0] if found else None
