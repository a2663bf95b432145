"""A separator as another package brings it."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from core.foundation.separators import ENTRY_POINT_GROUP

Install = Callable[..., str]
_NUMBER = itertools.count()  # what was loaded stays known by its module

HALVES = """
import numpy as np
from core.foundation.separators import Separator

def separate(waveform):
    middle = len(waveform) // 2
    first, second = waveform.copy(), waveform.copy()
    first[middle:], second[:middle] = 0, 0
    return np.stack([first, second])

SEPARATOR = Separator(num_sources=2, separate=separate)
"""
"""Two sources: the first half of a clip and the second, each with silence in place of the other."""


def installer(site: Path, *, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a separator's module on the path with its entry point, as pip leaves it."""

    def install(code: str, *, name: str = "halves") -> str:
        module = f"separator_{next(_NUMBER)}"
        info = site / module / f"{module}-1.0.dist-info"
        info.mkdir(parents=True)
        (site / module / f"{module}.py").write_text(code)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        points = f"[{ENTRY_POINT_GROUP}]\n{name} = {module}:SEPARATOR\n"
        (info / "entry_points.txt").write_text(points)
        monkeypatch.syspath_prepend(str(site / module))
        return name

    return install
