"""`make gpu-check`: what the branches do on this machine's GPU, with random weights, offline.

1. The project's kernels against torch in float64.
2. Every branch at `tiny` in float32, bfloat16 and float16: equal weights twice, and when resumed?
3. Every branch at the size of SD v1.5 in bfloat16: the same, milliseconds a step in each stage,
   memory, share of the matrix peak; sampling in images a second. `sonic` also in float16, without
   determinism, without the project's kernels, and beside the loop that people write (encoders in
   it, kernel by kernel).

Processes prepare side by side and, once all have, are measured one after the other. The last line
is one JSON object; it is also written to benchmarks/results/gpu-<card>-<date>.json.
"""

import argparse
import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gpu_child import PREPARED, children

BRANCHES = ("baseline", "sonic", "cutting_edge")
PRECISIONS = ("float32", "bfloat16", "float16")
RESULTS = Path(__file__).parent / "results"
GFLOP = {"stage1": 1671.0, "stage2": 1722.0, "stage3": 1722.0}
"""Of one sample through the bare UNet, forward and backward (with LoRA from stage 2 on)."""
BATCH = 8


def tiny_settings(precision: str) -> list[str]:
    return [
        "stage1.steps=12",
        "stage2.steps=12",
        "stage3.steps=6",
        "stage1.warmup_steps=0",
        "stage2.warmup_steps=0",
        "training.validate_every=6",
        f"training.precision={precision}",
        f"foundation.dtype={precision}",
    ]


def full_settings(weights: Path, steps: tuple[int, int, int]) -> list[str]:
    return [
        f"foundation.stable_diffusion={weights}/sd15",
        f"foundation.clap={weights}/clap",
        f"scorers.clip={weights}/clip",
        "data.source=embedded:corpus",
        "data.cap=10",
        "data.window_s=3.0",
        *(f"stage{k}.steps={n}" for k, n in enumerate(steps, start=1)),
        "stage1.warmup_steps=0",
        "stage2.warmup_steps=0",
        "training.validate_every=100000",
        "training.checkpoint_every=100000",
        f"training.micro_batch={BATCH}",
        "training.accumulation=1",
    ]


class Checks:
    """The processes of a check, started side by side; each answers on the last line of its log."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._going: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}

    def start(self, name: str, command: Sequence[str]) -> None:
        log = self._work / f"{name}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        self._going[name] = process, log

    def start_training(
        self, name: str, variant: str, profile: str, settings: Sequence[str], *more: str
    ) -> None:
        turn = ["--turn", str(self._turn(profile))] if profile == "sd15" else []
        words = [variant, "--profile", profile, "--results", str(self._work / name), *turn, *more]
        for item in settings:
            words += ["--set", item]
        self.start(name, children(words))

    def answer(self, name: str) -> dict[str, Any]:
        """What the process said, or how it ended."""
        process, log = self._going[name]
        process.wait()
        lines = log.read_text(errors="replace").strip().splitlines()
        if process.returncode == 0 and lines and lines[-1].startswith("{"):
            return dict(json.loads(lines[-1]))
        return {"exit_code": process.returncode, "error": lines[-1] if lines else ""}

    @contextmanager
    def all_prepared_first(self, profile: str) -> Iterator[None]:
        """Trainings started in here are timed once all of them have prepared, or failed to."""
        with self._turn(profile).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
            while any(
                process.poll() is None and PREPARED not in log.read_text(errors="replace")
                for process, log in self._going.values()
            ):
                time.sleep(1)

    def _turn(self, profile: str) -> Path:
        return self._work / f"turn-{profile}"

    def stop(self) -> None:
        for process, _ in self._going.values():
            process.kill()


def matrix_peak() -> float:
    """TFLOP/s of a bfloat16 product of two 8,192 x 8,192 matrices."""
    import torch

    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    for _ in range(5):
        a @ a
    torch.cuda.synchronize()
    started = time.monotonic()
    for _ in range(20):
        a @ a
    torch.cuda.synchronize()
    return 20 * 2 * 8192**3 / (time.monotonic() - started) / 1e12


def twice(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether two processes ended with equal weights."""
    return "weights" in first and first.get("weights") == second.get("weights")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", default="build/gpu-check")
    parser.add_argument("--out", default=None, help="a folder where the results go besides")
    parser.add_argument("--steps", default="24,24,14")
    arguments = parser.parse_args()
    import torch
    from random_weights import write_random_weights

    if not torch.cuda.is_available():
        sys.exit("gpu-check: torch finds no GPU that it can use")
    work = Path(arguments.work)
    work.mkdir(parents=True, exist_ok=True)
    card = torch.cuda.get_device_name()
    report: dict[str, Any] = {
        "card": card,
        "date": datetime.now(UTC).date().isoformat(),
        "torch": torch.__version__,
        "matrix_tflops": matrix_peak(),
        "batch": BATCH,
        "kernels": {},
        "tiny": {},
        "sd15": {},
    }
    file = f"gpu-{card.lower().replace(' ', '-')}-{report['date']}"
    places = [RESULTS, *([Path(arguments.out)] if arguments.out else [])]

    def keep(name: str, row: Any) -> None:
        print(name, json.dumps(row), flush=True)
        for place in places:
            place.mkdir(exist_ok=True)
            (place / f"{file}.json").write_text(json.dumps(report, indent=2) + "\n")

    checks = Checks(work)
    try:
        weights = work / "weights"
        if not (weights / "clip" / "config.json").is_file():
            write_random_weights(weights)
        torch.cuda.empty_cache()
        checks.start("kernels", [sys.executable, str(Path(__file__).parent / "gpu_kernels.py")])
        report["kernels"] = checks.answer("kernels")
        keep("kernels", report["kernels"])
        with checks.all_prepared_first("sd15"):
            start_all(checks, weights, arguments.steps, kernels=places[-1] / f"{file}-kernels.txt")
        collect(checks, report, keep)
    finally:
        checks.stop()
    print(json.dumps(report))


def start_all(checks: Checks, weights: Path, steps: str, *, kernels: Path) -> None:
    """Everything at full size first, since it prepares longest."""
    one, two, three = (int(n) for n in steps.split(","))
    settings = full_settings(weights, (one, two, three))
    for variant in BRANCHES:
        is_first = variant == BRANCHES[0]
        stop = ["--stop-at", str(one + two // 2)] if is_first else []
        checks.start_training(f"sd15-{variant}-1", variant, "sd15", settings, "--sample", *stop)
        watch = ["--kernels", str(kernels)] if variant == "sonic" else []
        checks.start_training(f"sd15-{variant}-2", variant, "sd15", settings, *watch)
    half = [*settings, "training.precision=float16", "foundation.dtype=float16"]
    checks.start_training("sd15-float16", "sonic", "sd15", half)
    free = [*settings, "training.deterministic=false"]
    checks.start_training("sd15-free", "sonic", "sd15", free, "--sample")
    checks.start_training("sd15-unfused", "sonic", "sd15", settings, "--unfused")
    checks.start_training("sd15-plain", "sonic", "sd15", settings, "--plain-loop")


def collect(checks: Checks, report: dict[str, Any], keep: Any) -> None:
    for name in ("plain", "unfused", "free", "float16"):
        report[f"sd15_sonic_{name}"] = with_shares(checks.answer(f"sd15-{name}"), report)
        keep(f"sonic {name}", report[f"sd15_sonic_{name}"])
    for variant in BRANCHES:
        first, second = (checks.answer(f"sd15-{variant}-{copy}") for copy in (1, 2))
        row = with_shares(first, report) | {"is_equal_twice": twice(first, second)}
        row |= {"error_2": second["error"]} if "error" in second else {}
        report["sd15"][variant] = row
        keep(f"sd15 {variant}", row)
    start_tiny(checks)
    for precision in PRECISIONS:
        for variant in BRANCHES:
            first, second = (checks.answer(f"tiny-{variant}-{precision}-{k}") for k in (1, 2))
            row = {
                "is_equal_twice": twice(first, second),
                "is_equal_resumed": first.get("is_equal_resumed"),
                "skipped_steps": first.get("skipped_steps"),
            }
            row |= {"error": first["error"]} if "error" in first else {}
            report["tiny"][f"{variant}-{precision}"] = row
            keep(f"tiny {variant} {precision}", row)


def start_tiny(checks: Checks) -> None:
    for precision in PRECISIONS:
        for variant in BRANCHES:
            for copy in (1, 2):
                more = ["--stop-at", "18"] if copy == 1 else []
                name = f"tiny-{variant}-{precision}-{copy}"
                checks.start_training(name, variant, "tiny", tiny_settings(precision), *more)


def with_shares(row: dict[str, Any], report: dict[str, Any]) -> dict[str, Any]:
    """The same with the shares of the card's matrix peak."""
    for stage, gflop in GFLOP.items():
        if f"{stage}_ms" in row:
            tflops = gflop * BATCH / row[f"{stage}_ms"]
            row[f"{stage}_share_of_peak"] = tflops / report["matrix_tflops"]
    return row


if __name__ == "__main__":
    main()
