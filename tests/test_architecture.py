"""The one-way imports that the folder names promise, read off the syntax trees."""

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path for package in ("core", "variants", "harness") for path in (ROOT / package).rglob("*.py")
)


# Each room may import the rooms before it, and nothing behind it.
FLOORS = {
    "core": (
        "errors", "choices", "text", "randomness", "files", "code", "locks", "conditioning", "data",
        "foundation", "features", "audit", "training", "sampling", "embedded",
    ),
    "core.data": (
        "revisions", "groups", "items", "manifest_file", "manifest", "labels", "media", "ingest",
        "cleaning", "splits", "corrections",
    ),
    "harness": (
        "wording", "archive", "settings", "branches", "records", "statistics", "metrics", "data",
        "run", "costs", "doctor", "mirror", "generate", "probe", "export", "demo", "executors",
        "comparison", "votes", "sweep", "retention", "watch", "report", "bundle", "pack", "launch",
        "cli", "testing",
    ),
}  # fmt: skip


@cache
def imports(path: Path) -> tuple[ast.Import | ast.ImportFrom, ...]:
    """Every import of a file, inside functions too."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return tuple(node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom))


def imported(path: Path) -> Iterator[str]:
    for node in imports(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            assert node.level == 0, f"{path} imports relatively"
            yield node.module or ""


def violations(path: Path) -> list[str]:
    """Imports of `path` that its place does not allow."""
    place = path.relative_to(ROOT).parts
    found = []
    for name in imported(path):
        parts = name.split(".")
        if parts[0] not in {"core", "variants", "harness"}:
            continue
        if place[0] == "core" and parts[0] != "core":
            found.append(name)
        if place[0] == "variants" and not (parts[0] == "core" or parts[:2] == list(place[:2])):
            found.append(name)
        if place[0] == "harness" and parts[0] == "variants" and name != "variants":
            found.append(name)
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    """Catches: core that knows a variant, a variant that reads another, a hard-wired branch."""
    assert violations(path) == []


def test_only_the_registry_imports_the_variants_package() -> None:
    """Catches: a second place that knows which branches there are."""
    users = [
        path.relative_to(ROOT / "harness").as_posix()
        for path in (ROOT / "harness").rglob("*.py")
        if "variants" in set(imported(path))
    ]
    assert users == ["branches/registry.py"]


@pytest.mark.parametrize("package", ["torchvision", "torchaudio"])
def test_nothing_imports_a_package_without_a_cpu_build(package: str) -> None:
    """Catches: an import that takes diffusers and transformers down on a CPU machine."""
    users = [p for p in SOURCES if any(n.split(".")[0] == package for n in imported(p))]
    assert users == []


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in SOURCES}


def imported_modules(path: Path) -> set[str]:
    """Modules of ours that a file names, inside functions too."""
    found = set()
    for node in imports(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif node.module:
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in MODULES else node.module for name in whole}
    return found & set(MODULES)


def room_of(module: str, *, package: str) -> str | None:
    """The part of `module` right below `package`; None outside it and for the package itself."""
    if not module.startswith(f"{package}."):
        return None
    return module.removeprefix(f"{package}.").split(".")[0]


@pytest.mark.parametrize("package", FLOORS)
def test_no_import_climbs(package: str) -> None:
    """Catches: a run that knows its report, data that knows training, a ring of rooms."""
    floors = FLOORS[package]
    climbing = []
    for module, path in MODULES.items():
        room = room_of(module, package=package)
        if room is None or room == "__main__":
            continue
        assert room in floors, f"{module} is in no room of {package}; give it a floor"
        for other in imported_modules(path):
            entered = room_of(other, package=package)
            if entered is not None and floors.index(entered) > floors.index(room):
                climbing.append(f"{module} -> {other}")
    assert sorted(climbing) == []


def test_modules_import_in_no_circle() -> None:
    """Catches: modules that need each other, also by an import inside a function."""
    graph = {module: imported_modules(path) - {module} for module, path in MODULES.items()}
    for module, path in MODULES.items():
        if path.name == "__init__.py":  # a package's face hands on what stands inside it
            graph[module] = {o for o in graph[module] if not o.startswith(f"{module}.")}
    waiting = dict(graph)
    while free := [m for m, needs in waiting.items() if not needs & waiting.keys()]:
        for module in free:
            del waiting[module]
    circle = {m: sorted(needs & waiting.keys()) for m, needs in waiting.items()}
    circle = {
        m: needs for m, needs in circle.items() if any(m in other for other in circle.values())
    }
    assert circle == {}


def test_harness_holds_rooms_alone() -> None:
    """Catches: a corridor of loose modules, where nobody finds anything."""
    loose = {path.name for path in (ROOT / "harness").glob("*.py")}
    assert loose == {"__init__.py", "__main__.py"}


def test_tests_mirror_the_source() -> None:
    """Catches: tests that stand apart from what they test."""
    folders = {p.parent.relative_to(ROOT / "tests") for p in (ROOT / "tests").rglob("test_*.py")}
    missing = [
        folder.as_posix()
        for folder in folders
        if folder.parts and folder.parts[0] in {"core", "harness", "variants"}
        if not (ROOT / folder).is_dir()
    ]
    assert missing == []


def test_the_page_on_architecture_names_every_room() -> None:
    """Catches: a room that the page does not explain, or a page that tells of one that is gone."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for package in ("core", "harness"):
        table = page.split(f"## `{package}`")[1].split("\n## ")[0]
        named = [line.split("`")[1] for line in table.splitlines() if line.startswith("| `")]
        assert named == list(FLOORS[package])


def place_of(module: str) -> str | None:
    """The node of the page's graph that a module belongs to; None for a package's own face."""
    parts = module.split(".")
    if parts[0] == "variants":
        return "variants"
    return None if len(parts) == 1 or parts[1] == "__main__" else ".".join(parts[:2])


def arrows_of_imports() -> set[str]:
    """`a --> b` for each room that imports another, less what a path of other arrows says."""
    needs: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        place = place_of(module)
        if place is not None:
            others = {place_of(other) for other in imported_modules(path)}
            needs.setdefault(place, set()).update(o for o in others if o not in (None, place))

    def reached(place: str) -> set[str]:
        below = needs.get(place, set())
        return below.union(*(reached(other) for other in below))

    return {
        f"{place} --> {other}"
        for place, others in needs.items()
        for other in others
        if not any(other in reached(between) for between in others - {other})
    }


def test_the_page_on_architecture_draws_every_import() -> None:
    """Catches: an arrow that nobody imports along any more, or an import that no arrow says."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawn = set(re.findall(r"^ *(\S+ --> \S+)$", page, flags=re.MULTILINE))
    imports = arrows_of_imports()
    assert (sorted(imports - drawn), sorted(drawn - imports)) == ([], []), "(to add, to remove)"


def boxed(arrows: Iterable[str]) -> list[str]:
    """The lines of the page's graph: a box for each package, then the arrows between them."""
    lines, left = [], sorted(arrows)
    for package in ("core", "harness"):
        own = [a for a in left if all(e.startswith(f"{package}.") for e in a.split(" --> "))]
        lines += [f"  subgraph {package}", *(f"    {arrow}" for arrow in own), "  end"]
        left = [arrow for arrow in left if arrow not in own]
    return [*lines, *(f"  {arrow}" for arrow in left)]


def test_the_graph_has_each_arrow_in_its_own_package() -> None:
    """Catches: an arrow added at the end, which draws a room outside the box of its package."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    lines = page.split("```mermaid\nflowchart BT\n")[1].split("```")[0].splitlines()
    assert lines == boxed(line.strip() for line in lines if " --> " in line)
