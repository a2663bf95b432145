"""Checkpoints on disk, read without torch: which are there, and which are whole."""

import json
import re
from pathlib import Path

from core.files import file_sha256

CHECKPOINT_NAME = re.compile(r"^step-(\d{8})$")
HASHES = "sha256.json"
"""In a checkpoint: the SHA-256 of its other files."""
TENSORS = "tensors.safetensors"
STATE = "state.json"


def committed_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints below `folder`, oldest first; whole or damaged, but none half written."""
    if not folder.is_dir():
        return []
    steps = [
        (int(m[1]), path) for path in folder.iterdir() if (m := CHECKPOINT_NAME.match(path.name))
    ]
    return [path for _, path in sorted(steps)]


def verify_checkpoint(folder: Path) -> None:
    """Return if every byte of a checkpoint is as it was written.

    Raises:
        OSError, ValueError, TypeError: a file of it is missing or has other bytes.
    """
    hashes = json.loads((folder / HASHES).read_text())
    if set(hashes) != {TENSORS, STATE}:
        raise ValueError(f"unexpected files listed: {sorted(hashes)}")
    for name, expected in hashes.items():
        if file_sha256(folder / name) != expected:
            raise ValueError(f"{name} does not match its hash")


def is_verified(folder: Path) -> bool:
    """Whether a checkpoint is whole."""
    try:
        verify_checkpoint(folder)
    except (OSError, ValueError, TypeError):
        return False
    return True
