"""`make gpu-check`: what the branches do on this machine's GPU, with random weights, offline.

1. The project's kernels against torch in float64.
2. Every branch at the size of SD v1.5 in bfloat16: milliseconds a step in each stage, with and
   without determinism, memory, share of the matrix peak; images a second, and where their time
   goes; equal weights twice, and when resumed? `sonic` also without the project's kernels, beside
   the loop that people write (encoders in it, kernel by kernel), in float16, and as one whole short
   run with its scores.
3. Every branch at `tiny` in float32, bfloat16 and float16: equal weights twice, and when resumed?

Processes prepare side by side, as many as the card's memory holds, and then are measured one after
the other. What is left when `--seconds` are over is listed as `not_measured`. The last line is one
JSON object; it is also written to benchmarks/results/gpu-<card>-<date>.json.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gpu_child import PREPARED, children

BRANCHES = ("sonic", "cutting_edge", "baseline")
PRECISIONS = ("float32", "bfloat16", "float16")
RESULTS = Path(__file__).parent / "results"
GFLOP = {"stage1": 1671.0, "stage2": 1722.0, "stage3": 1722.0}
"""Of one sample through the bare UNet, forward and backward (with LoRA from stage 2 on)."""
BATCH = 8
GIB_MEASURED, GIB_WAITING = 26.0, 5.0
"""Of the card, that a training takes while it is measured, and one that waits for its turn."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A process of `gpu_child.py` that is measured alone."""

    name: str
    variant: str
    flags: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()


def full_measures(stop_at: int, *, kernels: Path) -> list[Measure]:
    """At the size of SD v1.5, those first of which most depends."""
    resumed = ("--stop-at", str(stop_at))
    half = ("training.precision=float16", "foundation.dtype=float16")
    first = ("--sample", "--free")
    return [
        Measure(name="sonic", variant="sonic", flags=first),
        Measure(name="cutting_edge", variant="cutting_edge", flags=(*first, *resumed)),
        Measure(name="baseline", variant="baseline", flags=(*first, *resumed)),
        Measure(name="unfused", variant="sonic", flags=("--unfused", "--plain-loop")),
        Measure(name="cutting_edge-again", variant="cutting_edge"),
        Measure(name="sonic-again", variant="sonic", flags=("--kernels", str(kernels))),
        Measure(name="baseline-again", variant="baseline"),
        Measure(name="float16", variant="sonic", settings=half),
    ]


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


def full_settings(weights: Path, steps: tuple[int, int, int], *, micro_batch: int) -> list[str]:
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
        f"training.micro_batch={micro_batch}",
        f"training.accumulation={BATCH // micro_batch}",
    ]


@dataclass(frozen=True, kw_only=True)
class Size:
    """What the measured trainings are of: SD v1.5 on a card, or small ones to rehearse."""

    profile: str
    settings: list[str]
    stop_at: int
    side_by_side: int
    precisions: tuple[str, ...] = PRECISIONS

    @staticmethod
    def full(weights: Path, *, steps: tuple[int, int, int], card_gib: float) -> "Size":
        micro_batch = 8 if card_gib >= 20 else 4 if card_gib >= 11 else 2
        return Size(
            profile="sd15",
            settings=full_settings(weights, steps, micro_batch=micro_batch),
            stop_at=steps[0] + steps[1] // 2,
            side_by_side=max(1, int((card_gib - GIB_MEASURED) / GIB_WAITING)),
        )

    @staticmethod
    def rehearsal() -> "Size":
        """Without float16, in which a CPU takes ten times as long."""
        return Size(
            profile="tiny",
            settings=tiny_settings("float32"),
            stop_at=18,
            side_by_side=2,
            precisions=PRECISIONS[:2],
        )


class Process:
    """One process of the check; its log ends with one JSON object."""

    def __init__(self, name: str, command: Sequence[str], *, work: Path) -> None:
        self.name = name
        self._log = work / f"{name}.log"
        with self._log.open("wb") as file:
            self._process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)

    def is_prepared(self) -> bool:
        """Whether it waits for its turn, or has ended."""
        ended = self._process.poll() is not None
        return ended or PREPARED in self._log.read_text(errors="replace")

    def answer(self) -> dict[str, Any]:
        """What the process said, or how it ended."""
        self._process.wait()
        text = "\n" + self._log.read_text(errors="replace").strip()
        code = self._process.returncode
        if code == 0 and "\n{" in text:
            return dict(json.loads(text[text.rindex("\n{") :]))
        return {"exit_code": code, "error": text.splitlines()[-1]}

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


class Check:
    """The measures one after the other, until the time is over."""

    def __init__(self, report: dict[str, Any], *, size: Size, work: Path, until: float) -> None:
        """until: on `time.monotonic`'s clock."""
        self.report = report
        self._size = size
        self._work = work
        self._until = until

    def is_over(self, name: str) -> bool:
        """Whether no time is left; notes what is not measured for that reason."""
        if time.monotonic() < self._until:
            return False
        self.report["not_measured"].append(name)
        return True

    def measured(self, measures: Sequence[Measure]) -> dict[str, dict[str, Any]]:
        """Answers by name: all are prepared, then each has its turn."""
        going = {measure.name: self._started(measure) for measure in measures}
        answers: dict[str, dict[str, Any]] = {}
        try:
            while not all(process.is_prepared() for process in going.values()):
                time.sleep(0.5)
            for name, process in going.items():
                if self.is_over(name):
                    continue
                self._turn(name).touch()
                answers[name] = with_shares(process.answer(), self.report)
                print(name, json.dumps(answers[name]), flush=True)
        finally:
            for process in going.values():
                process.stop()
        return answers

    def alone(self, name: str, command: Sequence[str]) -> dict[str, Any]:
        """The answer of a process with the whole machine."""
        if self.is_over(name):
            return {}
        found = Process(name, command, work=self._work).answer()
        print(name, json.dumps(found), flush=True)
        return found

    def _started(self, measure: Measure) -> Process:
        self._turn(measure.name).unlink(missing_ok=True)
        words = [measure.variant, "--profile", self._size.profile, *measure.flags]
        words += ["--results", str(self._work / f"results-{measure.name}")]
        words += ["--turn", str(self._turn(measure.name))]
        for item in (*self._size.settings, *measure.settings):
            words += ["--set", item]
        return Process(measure.name, children(words), work=self._work)

    def _turn(self, name: str) -> Path:
        return self._work / f"turn-{name}"

    # The whole ---------------------------------------------------------------------------

    def full(self, *, kernels: Path, keep: Callable[[], None]) -> None:
        """Every branch at full size, and one whole run."""
        measures = full_measures(self._size.stop_at, kernels=kernels)
        if "float16" not in self._size.precisions:
            measures = [measure for measure in measures if measure.name != "float16"]
        at_once = self._size.side_by_side
        for first in range(0, len(measures), at_once):
            for name, row in self.measured(measures[first : first + at_once]).items():
                self._note(name, row)
            keep()
        run = self.alone("run", self._run_command())
        if run:
            self.report["run"] = run_facts(run)
        keep()

    def _note(self, name: str, row: dict[str, Any]) -> None:
        branch, _, again = name.partition("-")
        if branch not in BRANCHES:
            self.report[f"sd15_sonic_{name}"] = row
        elif not again:
            self.report["sd15"][branch] = row
        elif branch in self.report["sd15"]:
            first = self.report["sd15"][branch]
            first["is_equal_twice"] = twice(first, row)
            first |= {"error_again": row["error"]} if "error" in row else {}

    def _run_command(self) -> list[str]:
        words = ["run", "--variant", "sonic", "--profile", self._size.profile, "--json"]
        words += ["--results", str(self._work / "results-run")]
        for item in self._size.settings:
            words += ["--set", item]
        return [sys.executable, "-m", "harness", *words]

    def tiny(self, *, keep: Callable[[], None]) -> None:
        """Are small trainings equal, twice and resumed? As many at once as there are cores."""
        names = [
            (variant, p, k) for p in self._size.precisions for variant in BRANCHES for k in (1, 2)
        ]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            answers = dict(zip(names, pool.map(self._small, names), strict=True))
        for variant, precision, copy in names:
            first, second = answers[variant, precision, 1], answers[variant, precision, 2]
            if copy == 1 and first and second:
                self.report["tiny"][f"{variant}-{precision}"] = small_facts(first, second)
        keep()

    def _small(self, name: tuple[str, str, int]) -> dict[str, Any]:
        variant, precision, copy = name
        word = f"tiny-{variant}-{precision}-{copy}"
        words = [variant, "--profile", "tiny", "--results", str(self._work / f"results-{word}")]
        words += ["--stop-at", "18"] if copy == 1 else []
        for item in tiny_settings(precision):
            words += ["--set", item]
        return self.alone(word, children(words))


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


def small_facts(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a small training made twice."""
    row = {
        "is_equal_twice": twice(first, second),
        "is_equal_resumed": first.get("is_equal_resumed"),
        "skipped_steps": first.get("skipped_steps"),
    }
    return row | ({"error": first["error"]} if "error" in first else {})


def run_facts(said: dict[str, Any]) -> dict[str, Any]:
    """How long each phase of a run took, and its scores; said: by `harness run --json`."""
    if "error" in said:
        return said
    path = Path(said["record"])
    record = json.loads(path.read_text(encoding="utf-8"))
    scores = {name: score["value"] for name, score in record["metrics"].items()}
    return {
        "status": said["status"],
        "seconds": record["cost"]["seconds"],
        "num_images": sum(1 for _ in path.parent.rglob("*.png")),
        "scores": {name: value for name, value in scores.items() if value is not None},
    }


def with_shares(row: dict[str, Any], report: dict[str, Any]) -> dict[str, Any]:
    """The same with the shares of the card's matrix peak."""
    for stage, gflop in GFLOP.items():
        if f"{stage}_ms" in row and report["matrix_tflops"] is not None:
            tflops = gflop * BATCH / row[f"{stage}_ms"]
            row[f"{stage}_share_of_peak"] = tflops / report["matrix_tflops"]
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", default="build/gpu-check")
    parser.add_argument("--out", default=None, help="a folder where the results go besides")
    parser.add_argument("--steps", default="20,20,12", help="of the three stages at full size")
    parser.add_argument("--seconds", type=float, default=540, help="nothing is begun after these")
    parser.add_argument(
        "--rehearse", action="store_true", help="small branches on any machine; nothing is kept"
    )
    arguments = parser.parse_args()
    import torch

    if not arguments.rehearse and not torch.cuda.is_available():
        sys.exit("gpu-check: torch finds no GPU that it can use")
    started = time.monotonic()
    work = Path(arguments.work)
    work.mkdir(parents=True, exist_ok=True)
    is_on_gpu = torch.cuda.is_available()
    report: dict[str, Any] = {
        "card": torch.cuda.get_device_name() if is_on_gpu else "none",
        "date": datetime.now(UTC).date().isoformat(),
        "torch": torch.__version__,
        "matrix_tflops": matrix_peak() if is_on_gpu else None,
        "batch": BATCH,
        "kernels": {},
        "sd15": {},
        "tiny": {},
        "not_measured": [],
    }
    file = f"gpu-{report['card'].lower().replace(' ', '-')}-{report['date']}"
    places = [work if arguments.rehearse else RESULTS]
    places += [Path(arguments.out)] if arguments.out else []

    def keep() -> None:
        report["seconds"] = round(time.monotonic() - started)
        for place in places:
            place.mkdir(exist_ok=True)
            (place / f"{file}.json").write_text(json.dumps(report, indent=2) + "\n")

    size = Size.rehearsal()
    if not arguments.rehearse:
        one, two, three = (int(n) for n in arguments.steps.split(","))
        card_gib = torch.cuda.get_device_properties(0).total_memory / 2**30
        size = Size.full(random_weights(work), steps=(one, two, three), card_gib=card_gib)
        torch.cuda.empty_cache()
    check = Check(report, size=size, work=work, until=started + arguments.seconds)
    if is_on_gpu:
        script = Path(__file__).parent / "gpu_kernels.py"
        report["kernels"] = check.alone("kernels", [sys.executable, str(script)])
    keep()
    check.full(kernels=places[-1] / f"{file}-kernels.txt", keep=keep)
    check.tiny(keep=keep)
    print(json.dumps(report))


def random_weights(work: Path) -> Path:
    """Where the random weights are, made if they are not there."""
    from random_weights import write_random_weights

    weights = work / "weights"
    if not (weights / "clip" / "config.json").is_file():
        write_random_weights(weights)
    return weights


if __name__ == "__main__":
    main()
