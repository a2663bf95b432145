"""Whose run a folder holds."""

import json

from core.errors import MismatchError
from core.files import write_atomic
from harness.records.folders import RunFolder
from harness.run.plan import PlannedRun


def require_same_identity(planned: PlannedRun) -> None:
    """Note in the folder what its run is; refuse one that holds another.

    Raises:
        MismatchError: it was edited, copied or damaged.
    """
    path = RunFolder(planned.folder).identity
    content = planned.identity.model_dump_json(indent=2) + "\n"
    if path.is_file():
        ours = json.loads(content)
        try:
            theirs = dict(json.loads(path.read_bytes()))
        except (ValueError, TypeError):
            raise MismatchError(
                f"{path} is damaged, so the run in the folder cannot be identified; move the "
                "folder away and run again"
            ) from None
        keys = [key for key in {**ours, **theirs} if key != "profile"]
        changed = [key for key in keys if ours.get(key) != theirs.get(key)]
        if changed:
            raise MismatchError(
                f"{planned.folder} holds a run with a different {', '.join(changed)}, so it was "
                "edited or copied: move the folder away and run again"
            )
        return
    write_atomic(path, content=content.encode())
