"""How the feature cache names its rows and files; read without torch, by who counts or removes."""

import hashlib
import json
from pathlib import Path
from typing import Any

from core.files import json_sha256

FORMAT = 1
SETTINGS_FILE = "settings.json"
LOCK_FILE = ".lock"
SILENCE = "silence"
"""Key of digital silence, beside the content hashes."""


def caption_key(caption: str) -> str:
    """Cache key of a caption."""
    return hashlib.sha256(caption.encode()).hexdigest()


def read_index(path: Path) -> dict[str, Any] | None:
    """The index of a shard; None where it is missing or damaged."""
    try:
        body = json.loads(path.read_bytes())
        checksum = body.pop("checksum")
        is_sound = checksum == json_sha256(body) and body["format"] == FORMAT
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError, OSError):
        return None
    return body if is_sound else None
