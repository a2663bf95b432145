"""What reading a cached row costs, at 200,000 rows against 664.

    python benchmarks/feature_cache.py [--pairs 7] [--out benchmarks/results/feature_cache.json]

Two caches of one kind, filled by the store itself with rows of 512 float32 (CLAP's pooled vector).
A round reads 20,000 rows of each, in batches of 8 that are drawn anew, as training does. One
process, one thread, A B A B, CPU time, medians; the files are in the page cache, as in training.
The cost of opening a filled cache (every shard hashed) is told too: it is paid once a run.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

from core.data.feature_store import FeatureStore, FeatureTable

SMALL, LARGE = 664, 200_000
WIDTH = 512
ROWS_A_ROUND, BATCH = 20_000, 8
_MAX_RATIO = 1.5


def filled(folder: Path, *, num_rows: int) -> tuple[FeatureTable, float]:
    """A cache of `num_rows` rows, and the CPU seconds of opening it when it is full."""
    store = FeatureStore(folder, "clap", {"rows": num_rows}, batch_size=256)
    keys = [f"{index:064x}" for index in range(num_rows)]

    def compute(part: list[str]) -> dict[str, torch.Tensor]:
        values = torch.tensor([int(key, 16) for key in part], dtype=torch.float32)
        return {"clap_pooled": values[:, None].expand(-1, WIDTH)}

    store.fill(keys, compute=compute)  # type: ignore[arg-type]
    return timed(lambda: store.fill(keys, compute=compute))  # type: ignore[arg-type]


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What `work` returns, and its CPU seconds."""
    started = time.process_time()
    result = work()
    return result, time.process_time() - started


def read(table: FeatureTable, *, num_rows: int, seed: int) -> None:
    """A round of batches, the first number of each row checked."""
    drawn = np.random.default_rng(seed).integers(0, num_rows, (ROWS_A_ROUND // BATCH, BATCH))
    keys = [[f"{index:064x}" for index in batch] for batch in drawn.tolist()]
    for batch, expected in zip(keys, drawn, strict=True):
        rows = table.rows(batch, name="clap_pooled")
        assert rows[0, 0] == expected[0]


def main() -> None:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        tables, opening = {}, {}
        for num_rows in (SMALL, LARGE):
            tables[num_rows], opening[num_rows] = filled(Path(folder), num_rows=num_rows)
        seconds: dict[int, list[float]] = {SMALL: [], LARGE: []}
        for pair in range(options.pairs + 1):
            for num_rows in (SMALL, LARGE):
                _, spent = timed(lambda n=num_rows, k=pair: read(tables[n], num_rows=n, seed=k))
                if pair:  # the first round maps the pages
                    seconds[num_rows].append(spent)
    cost_us = {n: 1e6 * statistics.median(s) / ROWS_A_ROUND for n, s in seconds.items()}
    ratio = statistics.median(b / a for a, b in zip(*seconds.values(), strict=True))
    result = {
        "benchmark": "feature_cache",
        "measured": datetime.now(UTC).strftime("%Y-%m-%d"),
        "hardware": f"{_cpu()}, {os.cpu_count()} cores, one thread",
        "versions": {name: version(name) for name in ("torch", "safetensors", "numpy")},
        "pairs": options.pairs,
        "row_cpu_us": {str(n): round(us, 2) for n, us in cost_us.items()},
        "ratio": round(ratio, 3),
        "max_ratio": _MAX_RATIO,
        "opening_cpu_s": {str(n): round(s, 3) for n, s in opening.items()},
        "is_met": ratio <= _MAX_RATIO,
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
