"""What our own sources are: numbers that code decides are known by its hash."""

import hashlib
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from core.errors import HarnessError


def code_hash(roots: Iterable[Path], *, leave_out: Iterable[Path] = ()) -> str:
    """SHA-256 over the Python sources below `roots`, by relative path and content.

    A root is a folder or one file.
    """
    left_out = tuple(leave_out)
    digest = hashlib.sha256()
    for root in roots:
        folder = root.parent if root.is_file() else root
        for path in [root] if root.is_file() else sorted(root.rglob("*.py")):
            if not any(path.is_relative_to(other) for other in left_out):
                digest.update(f"{path.relative_to(folder).as_posix()}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def module_sources(module: ModuleType) -> Path | None:
    """What identifies a module's code: its package's folder, or its one file; None without one."""
    if module.__file__ is None:
        return None
    file = Path(module.__file__)
    # A module outside any package lies among everything else that is installed.
    is_alone = "." not in module.__name__ and not hasattr(module, "__path__")
    return file if is_alone else file.parent


def package_folder(name: str) -> Path:
    """The folder of an installed package, which is not imported for it.

    Raises:
        HarnessError: it is not installed as a folder.
    """
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise HarnessError(f"package '{name}' is not installed as a folder")
    return Path(next(iter(spec.submodule_search_locations)))
