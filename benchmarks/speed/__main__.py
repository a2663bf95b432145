"""Measure every row and write the table: `python -m benchmarks.speed`.

Writes benchmarks/results/speed.json and draws docs/images/speed.png from it. `--only SECTION`
measures one section again and leaves the others as they are, each with its own date and load. Exits
1 where a goal is missed.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from benchmarks.speed import cleaning, cold_start, decision, frechet, growth, log_mel, steps
from benchmarks.speed.figure import draw
from benchmarks.speed.table import Row, as_text
from benchmarks.speed.timing import PAIRS, ROOT, machine, say

RESULTS = ROOT / "benchmarks" / "results" / "speed.json"
FIGURE = ROOT / "docs" / "images" / "speed.png"
SLOW_PAIRS = 5


def sections(work: Path, *, samples: int) -> dict[str, Callable[[], list[Row]]]:
    """What is measured, by name, in the order of the table."""
    return {
        "steps": lambda: steps.full_size_rows(work, pairs=SLOW_PAIRS, samples=samples),
        "steps_of_tiny": lambda: steps.tiny_rows(work, pairs=2 * PAIRS),
        "log_mel": lambda: log_mel.rows(pairs=PAIRS),
        "frechet": lambda: frechet.rows(pairs=SLOW_PAIRS),
        "decision": lambda: decision.rows(pairs=PAIRS),
        "cleaning": lambda: cleaning.rows(pairs=PAIRS),
        "cold_start": lambda: cold_start.rows(pairs=SLOW_PAIRS),
        "growth": lambda: growth.rows(),
    }


def main() -> int:
    """0 where every goal is met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--figure", type=Path, default=FIGURE)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "speed")
    parser.add_argument("--only", action="append", default=[], help="a section; may be repeated")
    parser.add_argument(
        "--samples", type=int, default=4, help="of a step at full size; 4 take 18 GB of memory"
    )
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    known = sections(given.work.resolve(), samples=given.samples)
    if unknown := sorted(set(given.only) - set(known)):
        parser.error(f"no section {unknown[0]!r}; known: {', '.join(known)}")
    import torch

    torch.set_num_threads(1)
    stored: dict[str, Any] = json.loads(given.out.read_text()) if given.out.is_file() else {}
    for name, measure in known.items():
        if given.only and name not in given.only:
            continue
        say(f"{name}:")
        before = os.getloadavg()[0]
        found = measure()
        print(as_text(found), file=sys.stderr, flush=True)
        stored[name] = {
            **machine(),
            "load": [round(before, 1), round(os.getloadavg()[0], 1)],
            "rows": [row.stored() for row in found],
        }
        ordered = {key: stored[key] for key in known if key in stored}
        given.out.write_text(json.dumps(ordered, indent=1) + "\n")
    rows = [Row.of(stored_row) for name in known if name in stored
            for stored_row in stored[name]["rows"]]  # fmt: skip
    print(as_text(rows))
    if not draw(rows, out=given.figure):
        say("no ratio was measured that the figure shows; it was not drawn")
    return int(any(row.is_met is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
