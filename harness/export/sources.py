"""The modules that a branch needs, copied under a name of their own.

The copies import one another and the libraries; nothing in them imports this package.
"""

import ast
import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path

from core.errors import UsageError
from core.files import json_sha256

PACKAGE = "branch_code"
"""Start of the name of the package that holds the copies."""
_OURS = ("core", "variants")
_NOT_EXPORTED = ("harness",)


def copied_sources(modules: Iterable[str]) -> dict[str, str]:
    """Text of each file of the package, by its path in it, for these modules and all they import.

    modules: dotted names; of a plug-in, its own package is copied too.

    Raises:
        UsageError: a module is not a source file, or imports the harness.
    """
    waiting = list(modules)
    packages = {*_OURS, *(name.split(".")[0] for name in waiting)}
    files: dict[str, str] = {"__init__.py": '"""Copies of the modules that the branch needs."""\n'}
    done: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in done:
            continue
        done.add(name)
        path = _source_of(name)
        is_package = path.name == "__init__.py"
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        here = name if is_package else name.rpartition(".")[0]
        for module in _imported(tree, here=here):
            top = module.split(".")[0]
            if top in _NOT_EXPORTED:
                raise UsageError(
                    f"{name} imports {module}, which runs the comparison and is not exported; a "
                    "branch that is exported may import core and its own package alone"
                )
            if top in packages:
                waiting += _modules_of(module)
        inside = Path(*name.split("."))
        target = inside / "__init__.py" if is_package else inside.with_suffix(".py")
        files[target.as_posix()] = _renamed(text, tree, packages=packages)
        for parent in inside.parents:
            if parent != Path("."):
                waiting.append(".".join(parent.parts))
    return dict(sorted(files.items()))


def named_by_content(sources: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """(Name of the package, its files under that name): other code has another name.

    A process that loads the folders of two branches would otherwise give both the code of the
    first.
    """
    name = f"{PACKAGE}_{json_sha256(dict(sources))[:8]}"
    return name, {path: text.replace(f"{PACKAGE}.", f"{name}.") for path, text in sources.items()}


def _source_of(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise UsageError(f"the source of module {name} was not found; it cannot be exported")
    return Path(spec.origin)


def _modules_of(name: str) -> list[str]:
    """The module that a dotted name is, or lies in."""
    while name:
        try:
            if importlib.util.find_spec(name) is not None:
                return [name]
        except ModuleNotFoundError:
            pass
        name = name.rpartition(".")[0]
    return []


def _imported(tree: ast.Module, *, here: str) -> list[str]:
    """Dotted names, of a `from` import with what is taken; imports for type checkers left out."""
    found: list[str] = []

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = here.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [base])])
            found.extend([base, *(f"{base}.{alias.name}" for alias in node.names)])
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(tree)
    return found


def _renamed(text: str, tree: ast.Module, *, packages: set[str]) -> str:
    """The text, its absolute imports of these packages turned to the copies."""
    lines = text.splitlines(keepends=True)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            if node.module.split(".")[0] in packages:
                row = node.lineno - 1
                lines[row] = lines[row].replace("from ", f"from {PACKAGE}.", 1)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] not in packages:
                    continue
                if alias.asname is None:
                    raise UsageError(
                        f"`import {alias.name}` cannot be exported; write `from ... import ...`"
                    )
                row = alias.lineno - 1
                lines[row] = lines[row].replace(alias.name, f"{PACKAGE}.{alias.name}", 1)
    return "".join(lines)
