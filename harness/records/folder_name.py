"""What a user may name a folder that we make."""

import re

from core.errors import UsageError

_FOLDER_NAME = re.compile(r"\w[\w.-]*")


def require_folder_name(name: str | None) -> None:
    """Raises: UsageError for a --name that is a path or not plain."""
    if name is not None and not _FOLDER_NAME.fullmatch(name):
        raise UsageError(
            f"--name {name!r}; expected the name of one folder: letters, digits, "
            "and . _ - after the first"
        )
