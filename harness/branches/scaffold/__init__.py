"""A new variant as files: small, complete, and under the contract from its first minute.

In this repository's `variants` folder it is a folder, elsewhere a package of its own with an
entry point. Templates are `string.Template` texts in `templates/`.
"""

import keyword
import re
import sys
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template

from core.errors import UsageError
from core.files import write_atomic
from harness.branches.registry import registrations, variants_folder

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_LIBRARIES = """\
from pydantic import Field
from torch import Tensor, nn
"""
_CORE = """\
from core.conditioning.attention import AudioProcessor, JointAttention
from core.conditioning.attention_variant import AttentionVariant
from core.conditioning.conditioning import AudioFeature, ConditioningInputs
from core.conditioning.gates import SigmoidGate
from core.conditioning.shapes import FoundationShapes
from core.conditioning.variant import VariantConfig
"""


@dataclass(frozen=True, kw_only=True)
class NewVariant:
    """What was written."""

    name: str
    """Name for --variant."""
    folder: Path
    """The new folder."""
    files: tuple[Path, ...]
    """Every file, in the order they were written."""
    next_steps: tuple[str, ...]
    """Commands that test it and find it."""


def write_new_variant(name: str, *, folder: Path) -> NewVariant:
    """Write the variant `name` into a new folder below `folder`.

    Raises:
        UsageError: the name cannot be a Python module or is taken, or a file is there already.
    """
    is_built_in = folder.resolve() == variants_folder()
    _check_name(name, is_built_in=is_built_in)
    home = folder / name
    if is_built_in:
        texts = {
            home / "__init__.py": "init.py",
            home / "variant.py": "variant.py",
        }
        tests = variants_folder().parent / "tests" / "variants"
        if tests.is_dir():
            texts[tests / f"test_{name}.py"] = "test_contract.py"
        steps = [f"pytest {tests / f'test_{name}.py'}"] if tests.is_dir() else []
    else:
        texts = {
            home / "pyproject.toml": "pyproject.toml",
            home / "README.md": "README.md",
            home / name / "__init__.py": "init.py",
            home / name / "variant.py": "variant.py",
            home / name / "test_contract.py": "test_contract.py",
        }
        steps = [f"pytest {home}", f"pip install --no-deps -e {home}"]
    for path in (home, *texts):
        if path.exists():
            raise UsageError(f"{path} exists already; nothing was written: choose another name")
    words = {
        "name": name,
        "class_name": "".join(word.capitalize() for word in name.split("_")),
        "distribution": name.replace("_", "-"),
        "module": f"variants.{name}" if is_built_in else name,
        # To a package of its own, `core` and `harness` are libraries like any other.
        "imports": (f"{_LIBRARIES}\n{_CORE}" if is_built_in else _CORE + _LIBRARIES).rstrip(),
        "gap": "" if is_built_in else "\n",
    }
    for path, template in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content=_rendered(template, words).encode())
    steps += ["harness list", f"harness run --variant {name}"]
    return NewVariant(name=name, folder=home, files=tuple(texts), next_steps=tuple(steps))


def _rendered(template: str, words: dict[str, str]) -> str:
    source = files("harness.branches.scaffold") / "templates" / f"{template}.txt"
    return Template(source.read_text(encoding="utf-8")).substitute(words)


def _check_name(name: str, *, is_built_in: bool) -> None:
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or name.endswith("_"):
        raise UsageError(
            f"'{name}' cannot name a variant: it becomes a Python module, so it takes up to 40 "
            "lower-case letters, digits and underscores, a letter first, and no keyword"
        )
    known = registrations()
    if name in known:
        raise UsageError(
            f"a variant named '{name}' exists already ({known[name].module}); choose another name"
        )
    if not is_built_in and _is_importable(name):
        raise UsageError(
            f"a module named '{name}' is installed already and would hide the new one; choose "
            "another name"
        )


def _is_importable(name: str) -> bool:
    if name in sys.stdlib_module_names:
        return True
    spec = find_spec(name)
    return spec is not None and spec.origin is not None
