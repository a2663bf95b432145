"""`make gpu-check`: what the branches do on this machine's GPU, with random weights, offline.

1. Every branch at `tiny` in float32 and bfloat16, the same command twice: equal weights?
2. Every branch at the size of SD v1.5, bfloat16: milliseconds a step in each stage, memory, share
   of the matrix peak, whether the step was recorded as a graph; sampling in images a second.
3. The same again for a few steps, twice: equal weights?

The last line is one JSON object; it is also written to benchmarks/results/gpu-<card>-<date>.json.
"""

import argparse
import hashlib
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

BRANCHES = ("baseline", "sonic", "cutting_edge")
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


def child(arguments: Sequence[str], *, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, __file__, *arguments], stdout=file, stderr=subprocess.STDOUT
        )


def answer(process: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    """The JSON on the last line of a child's log, or how it ended."""
    process.wait()
    lines = log.read_text(errors="replace").strip().splitlines()
    if process.returncode == 0 and lines and lines[-1].startswith("{"):
        return dict(json.loads(lines[-1]))
    return {"exit_code": process.returncode, "error": lines[-1] if lines else ""}


# In a child -------------------------------------------------------------------------------


def train_once(variant: str, *, profile: str, settings: Sequence[str], results: Path) -> Any:
    """(model's tensors, timings) of one training through the harness's own loop."""
    import torch

    from core.training import guards
    from core.training.checkpoints import CheckpointFolder
    from core.training.loop import train
    from harness.run.determinism import set_determinism
    from harness.run.device import training_device
    from harness.run.findings import Findings
    from harness.run.plan import RunRequest, plan_run
    from harness.run.prepare import prepare_model
    from harness.wording.display import PlainDisplay

    if profile == "sd15":  # a random VAE gives no picture back
        guards.check_latents_match_pictures = lambda *args, **kwargs: None
    device = training_device()
    display = PlainDisplay()
    request = RunRequest(
        variant=variant, profile=profile, overrides=tuple(settings), results=results
    )
    planned = plan_run(request, display=display)
    set_determinism(planned.profile.training.deterministic, device=device)
    torch.set_num_threads(planned.profile.training.num_threads)
    ready = prepare_model(planned, device=device, findings=Findings(), display=display)
    moments: dict[str, list[float]] = {}
    started = time.monotonic()
    with TemporaryDirectory() as scratch:
        result = train(
            ready.model,
            data=ready.data,
            plan=planned.plan,
            scheduler=ready.foundation.noise_scheduler,
            latent_shape=ready.foundation.latent_shape,
            seed=0,
            checkpoints=CheckpointFolder(Path(scratch)),
            on_step=lambda report: moments.setdefault(report.stage, []).append(time.monotonic()),
        )
    if device == "cuda":
        torch.cuda.synchronize()
    timing: dict[str, Any] = {
        "train_s": time.monotonic() - started,
        "is_recorded": {stage.stage: stage.is_recorded for stage in result.stages},
    }
    for stage, times in moments.items():
        gaps = [b - a for a, b in itertools.pairwise(times)]
        late = gaps[len(gaps) // 2 :]  # after the plain steps and the recording
        if late:
            timing[f"{stage}_ms"] = 1000 * statistics.median(late)
    if device == "cuda":
        timing["memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
        timing["reserved_gib"] = torch.cuda.max_memory_reserved() / 2**30  # with the graphs' pools
    return planned, ready, timing


def digest(model: Any) -> str:
    found = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def sample_speed(planned: Any, ready: Any) -> dict[str, float]:
    """Images a second: 20 steps, three passes, decoded."""
    import torch

    from core.sampling.sampler import Guidance, build_solver, initial_noise, sample_latents

    ids = list(ready.data.train_ids)[:8]
    settings = planned.profile.sampling
    speeds = []
    for _ in range(2):
        started = time.monotonic()
        conditioning = ready.model.variant.condition(ready.data.inputs(ids).to(ready.model.device))
        latents = sample_latents(
            ready.model,
            conditioning=conditioning,
            null_text_LC=ready.features.null_text,
            noise_BCHW=initial_noise(
                ids, draws=[0] * len(ids), seed=0, latent_shape=ready.foundation.latent_shape
            ),
            solver=build_solver(settings.sampler, noise_scheduler=ready.foundation.noise_scheduler),
            steps=20,
            guidance=Guidance(text=3.0, audio=2.0),
            precision=planned.profile.training.precision,
        )
        ready.foundation.decode_latents(latents)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        speeds.append(len(ids) / (time.monotonic() - started))
    return {"images_per_s": speeds[-1]}


def run_child(arguments: argparse.Namespace) -> None:
    planned, ready, timing = train_once(
        arguments.child,
        profile=arguments.profile,
        settings=arguments.set,
        results=Path(arguments.results),
    )
    if arguments.sample:
        timing |= sample_speed(planned, ready)
    print(json.dumps({**timing, "weights": digest(ready.model)}))


# In the parent ----------------------------------------------------------------------------


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", default="build/gpu-check")
    parser.add_argument("--out", default=None, help="where the JSON goes besides")
    parser.add_argument("--steps", default="40,40,20")
    parser.add_argument("--child", choices=BRANCHES, help=argparse.SUPPRESS)
    parser.add_argument("--profile", default="tiny", help=argparse.SUPPRESS)
    parser.add_argument("--results", help=argparse.SUPPRESS)
    parser.add_argument("--sample", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--set", action="append", default=[], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        run_child(arguments)
        return
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
        "tiny": {},
        "sd15": {},
    }

    def keep() -> None:
        for path in [Path(arguments.out)] if arguments.out else []:
            path.write_text(json.dumps(report, indent=2) + "\n")

    def start(name: str, variant: str, profile: str, settings: Sequence[str], *more: str) -> Any:
        log = work / f"{name}.log"
        words = ["--child", variant, "--profile", profile, "--results", str(work / name), *more]
        for item in settings:
            words += ["--set", item]
        return child(words, log=log), log

    def twins(kind: str, jobs: dict[str, tuple[str, str, Sequence[str]]]) -> None:
        going = {
            (name, copy): start(f"{kind}-{name}-{copy}", *job)
            for name, job in jobs.items()
            for copy in (1, 2)
        }
        found = {key: answer(*job) for key, job in going.items()}
        for name in jobs:
            first, second = found[name, 1], found[name, 2]
            same = "weights" in first and first.get("weights") == second.get("weights")
            row = report[kind].setdefault(name, {})
            row["is_equal_twice"] = same
            row |= {f"error_{copy}": found[name, copy]["error"]
                    for copy in (1, 2) if "error" in found[name, copy]}  # fmt: skip
            print(kind, name, "equal twice" if same else f"NOT EQUAL {first} {second}", flush=True)
        keep()

    weights = work / "weights"
    if not (weights / "clip" / "config.json").is_file():
        write_random_weights(weights)
    torch.cuda.empty_cache()
    twins(
        "tiny",
        {
            f"{variant}-{precision}": (variant, "tiny", tiny_settings(precision))
            for variant in BRANCHES
            for precision in ("float32", "bfloat16")
        },
    )
    steps = tuple(int(n) for n in arguments.steps.split(","))
    for variant in BRANCHES:
        job = start(f"sd15-{variant}", variant, "sd15", full_settings(weights, steps), "--sample")
        row = answer(*job)
        for stage, gflop in GFLOP.items():
            if f"{stage}_ms" in row:
                tflops = gflop * BATCH / row[f"{stage}_ms"]
                row[f"{stage}_share_of_peak"] = tflops / report["matrix_tflops"]
        report["sd15"][variant] = row
        print("sd15", variant, json.dumps(row), flush=True)
        keep()
    for variant in BRANCHES:  # one pair at a time: six trainings do not fit on a card
        twins("sd15", {variant: (variant, "sd15", full_settings(weights, (6, 6, 4)))})
    name = card.lower().replace(" ", "-")
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"gpu-{name}-{report['date']}.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    keep()
    print(json.dumps(report))


if __name__ == "__main__":
    main()
