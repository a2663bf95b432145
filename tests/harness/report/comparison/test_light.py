"""What showing and drawing a comparison imports."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

LIBRARIES = ("torch", "diffusers", "transformers", "peft")


def test_a_comparison_is_shown_and_drawn_without_torch(
    loaded_by: Callable[..., list[str]], results: Any, comparison_folder: Path, tmp_path: Path
) -> None:
    """Catches: a report that imports what trains for the name of an image or a mel filter."""
    copy = tmp_path / "results"
    shutil.copytree(results.root, copy)
    name = comparison_folder.name
    assert loaded_by("show", name, "--results", str(copy)) == []
    assert loaded_by("report", name, "--results", str(copy), of=LIBRARIES) == []
