"""What a block of the Mamba encoder costs on a CPU: v1, v2 and mamba2 at SSAMBA tiny's size.

    python benchmarks/mamba_blocks.py [--rounds 7] [--out benchmarks/results/mamba_blocks.json]

Forward and backward of one block over 513 tokens of width 192, batch 4, one thread, CPU time. Each
round times every block once, in turn, so that a slow minute hits all alike; medians over rounds.
"""

import argparse
import json
import os
import platform
import statistics
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch

from core.foundation.mamba.config import MambaEncoderConfig
from core.foundation.mamba.encoder import MambaBlock

BLOCKS = ("v1", "v2", "mamba2")
BATCH, NUM_TOKENS, WIDTH = 4, 513, 192


def seconds(block: MambaBlock, x_BLW: torch.Tensor) -> float:
    """CPU seconds of a forward and backward pass."""
    start = time.process_time()
    block(x_BLW).sum().backward()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/mamba_blocks.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    blocks = {name: MambaBlock(MambaEncoderConfig(width=WIDTH, block=name)) for name in BLOCKS}
    x_BLW = torch.randn(BATCH, NUM_TOKENS, WIDTH)
    for block in blocks.values():
        seconds(block, x_BLW)
    times: dict[str, list[float]] = {name: [] for name in BLOCKS}
    for _ in range(args.rounds):
        for name, block in blocks.items():
            times[name].append(seconds(block, x_BLW))
    medians = {name: statistics.median(values) for name, values in times.items()}
    result = {
        "cpu_seconds_median": {name: round(value, 4) for name, value in medians.items()},
        "v2_over_mamba2": round(medians["v2"] / medians["mamba2"], 2),
        "rounds": args.rounds,
        "batch": BATCH,
        "num_tokens": NUM_TOKENS,
        "width": WIDTH,
        "torch": version("torch"),
        "machine": platform.machine(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
