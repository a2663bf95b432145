"""A few of the packages' numbers, kept in `tests/data/peers` so that the suite holds us to them."""

import json
from pathlib import Path

import numpy as np

NUM_ROWS = 2
"""Sounds or pictures of each kind that are kept."""


def write_fixtures(folder: Path, *, out: Path) -> None:
    """Write `theirs.npz`, and names and shapes of LAION's tensors, from what a run measured."""
    kept = {}
    for step, key, rows in (
        ("laion", "tensor", NUM_ROWS),
        ("laion-fusion", "tensor", NUM_ROWS),
        ("wav2clip", "alone", NUM_ROWS),
        ("inception", "features", NUM_ROWS),
        ("lpips", "pairs", None),
    ):
        kept[step] = np.load(folder / f"theirs-{step}.npz")[key][:rows]
    out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out / "theirs.npz", **kept)
    shapes = {
        step: json.loads((folder / f"{step}-shapes.json").read_text())
        for step in ("laion", "laion-fusion")
    }
    lines = [
        f"{json.dumps(step)}: {{\n"
        + ",\n".join(f"{json.dumps(name)}: {shape}" for name, shape in one.items())
        + "}"
        for step, one in shapes.items()
    ]
    (out / "laion_shapes.json").write_text("{" + ",\n".join(lines) + "}\n")
