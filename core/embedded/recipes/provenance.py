"""PROVENANCE.json: how each shipped model was made, how good it is, and every file's hash."""

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from core.files import file_sha256

FILE = "PROVENANCE.json"
_LIBRARIES = ("torch", "diffusers", "transformers", "tokenizers", "numpy", "scipy", "pillow")
COMMAND = "python -m core.embedded.recipes.build --out DIR"


def record_part(out: Path, part: str, facts: dict[str, Any]) -> None:
    """Put one part's facts into the record and hash all files anew; written whole."""
    _forget_paths(out)
    path = out / FILE
    record = json.loads(path.read_text()) if path.is_file() else {}
    parts = {**record.get("parts", {}), part: facts}
    record = {
        "command": COMMAND,
        "libraries": {name: version(name) for name in _LIBRARIES},
        "python": platform.python_version(),
        "parts": {name: parts[name] for name in sorted(parts)},
        "sha256": file_hashes(out),
    }
    written = path.with_suffix(".part")
    written.write_text(json.dumps(record, indent=2) + "\n")
    written.replace(path)


def _forget_paths(out: Path) -> None:
    """diffusers notes where a part was loaded from: true of one machine, and it moves the hash."""
    for path in out.rglob("config.json"):
        config = json.loads(path.read_text())
        if config.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def file_hashes(out: Path) -> dict[str, str]:
    """SHA-256 of every model file under `out`, by path relative to it."""
    files = sorted(p for p in out.rglob("*") if p.is_file() and p.parent != out)
    return {p.relative_to(out).as_posix(): file_sha256(p) for p in files}
