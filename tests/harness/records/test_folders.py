"""The names below a results folder."""

import ast
import re
from pathlib import Path

from harness.records import folders

HARNESS = Path(folders.__file__).parents[1]


def texts(path: Path) -> set[str]:
    """The string constants of a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


NAMES = {
    folders.CHECKPOINTS,
    folders.REPORTS,
    folders.SWEEPS,
    *(text for text in texts(Path(folders.__file__)) if re.fullmatch(r"\w+\.\w+", text)),
}


def test_no_file_below_results_is_named_twice() -> None:
    """Catches: a file that one module writes and another looks for under a name of its own."""
    assert {"record.json", "events.jsonl", "split.json", "checkpoints"} <= NAMES
    others = [path for path in HARNESS.rglob("*.py") if path != Path(folders.__file__)]
    spelt = {path.relative_to(HARNESS).as_posix(): texts(path) & NAMES for path in others}
    allowed = {
        "cli/commands/report.py": {"reports"},  # a key of what it prints
        "costs/times.py": {"checkpoints"},  # likewise
        "watch/state.py": {"sweeps"},  # likewise
        "records/names.py": {"sweeps"},  # a word of a sentence
        "testing/keeping.py": {"weights.safetensors"},  # in a folder of the kit's own
    }
    assert {name: found for name, found in spelt.items() if found} == allowed


def test_a_folder_says_where_its_files_lie() -> None:
    """Catches: a run looked for among the trials, or a results folder of another shape."""
    results = folders.ResultsFolder(Path("r"))
    assert results.run("a").events == Path("r/runs/a/events.jsonl")
    assert results.trial("a").record == Path("r/validation/a/record.json")
    assert results.report("b").comparison == Path("r/reports/b/comparison.json")
    assert results.sweep("c").config("sonic") == Path("r/sweeps/c/sonic.toml")
