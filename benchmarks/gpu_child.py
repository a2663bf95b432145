"""One measured training of `gpu_check.py`, in a process of its own; its last line is JSON.

Everything is prepared first; what is timed waits for `--turn`, a file that `gpu_check.py` makes
when the card is free, so that the others' work is in nobody's figures.
"""

import argparse
import hashlib
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from gpu_sampling import sampled

from core.choices import AudioFeature
from core.training.checkpoints import CheckpointFolder
from core.training.interrupts import InterruptFlag
from core.training.loop import train
from harness.run.determinism import set_determinism
from harness.run.device import training_device
from harness.run.findings import Findings
from harness.run.plan import RunRequest, plan_run
from harness.run.prepare import prepare_model
from harness.wording.display import PlainDisplay

PREPARED = "prepared, waiting for its turn"


class _StoppedError(Exception):
    """The training was stopped on purpose."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("variant")
    parser.add_argument("--profile", default="tiny")
    parser.add_argument("--results", required=True)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--turn", type=Path, default=None)
    parser.add_argument("--sample", action="store_true")
    parser.add_argument("--free", action="store_true", help="stage 2 without determinism, too")
    parser.add_argument("--stop-at", type=int, default=None, help="train once more, resumed there")
    parser.add_argument("--plain-loop", action="store_true", help="the loop people write, too")
    parser.add_argument("--unfused", action="store_true", help="torch's own norms and GEGLU")
    parser.add_argument("--kernels", default=None, help="a file for the costliest kernels")
    arguments = parser.parse_args()
    if arguments.unfused:
        _leave_blocks_alone()
    planned, ready = prepared(arguments)
    _await_turn(arguments.turn)
    before = ready.model.state_dict()
    found = trained(planned, ready, kernels=arguments.kernels)
    found["weights"] = digest(ready.model)
    if arguments.sample:
        found |= sampled(planned, ready)
    if arguments.stop_at is not None:
        ready.model.load_state_dict(before)
        resumed(planned, ready, stop_at=arguments.stop_at, before=before)
        found["is_equal_resumed"] = digest(ready.model) == found["weights"]
    if arguments.free:
        ready.model.load_state_dict(before)
        found |= {f"free_{name}": value for name, value in free(planned, ready).items()}
    if arguments.plain_loop:
        found |= plain_loop(ready)
    print(json.dumps(found))


def _await_turn(turn: Path | None) -> None:
    if turn is None:
        return
    print(PREPARED, flush=True)
    parent = os.getppid()
    while not turn.exists():
        if os.getppid() != parent:
            sys.exit("the check that started this process has ended")
        time.sleep(0.1)


def prepared(arguments: argparse.Namespace) -> tuple[Any, Any]:
    """The planned run and its model, by the harness's own preparation."""
    device, display = training_device(), PlainDisplay()
    request = RunRequest(
        variant=arguments.variant,
        profile=arguments.profile,
        overrides=tuple(arguments.set),
        results=Path(arguments.results),
    )
    planned = plan_run(request, display=display)
    set_determinism(planned.profile.training.deterministic, device=device)
    torch.set_num_threads(planned.profile.training.num_threads)
    ready = prepare_model(planned, device=device, findings=Findings(), display=display)
    return planned, ready


def _train(plan: Any, ready: Any, folder: str, on_step: Callable[..., None], **more: Any) -> Any:
    return train(
        ready.model,
        data=ready.data,
        plan=plan,
        scheduler=ready.foundation.noise_scheduler,
        latent_shape=ready.foundation.latent_shape,
        seed=0,
        checkpoints=CheckpointFolder(Path(folder)),
        on_step=on_step,
        **more,
    )


def trained(planned: Any, ready: Any, *, kernels: str | None = None) -> dict[str, Any]:
    """Milliseconds of a step by stage, once its graph is replayed, and memory."""
    watch = _KernelWatch(kernels)
    found, result = _timed(planned.plan, ready, watch=watch)
    found["is_recorded"] = {stage.stage: stage.is_recorded for stage in result.stages}
    found["skipped_steps"] = sum(stage.skipped_steps for stage in result.stages)
    if torch.cuda.is_available():
        found["memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
        found["reserved_gib"] = torch.cuda.max_memory_reserved() / 2**30  # with the graph's pool
    return found


def free(planned: Any, ready: Any) -> dict[str, Any]:
    """The second stage alone, and sampling, by whatever kernels torch takes for the fastest."""
    device = ready.model.device.type
    set_determinism(False, device=device)
    stages = tuple(
        replace(stage, steps=stage.steps if stage.name == "stage2" else 0)
        for stage in planned.plan.stages
    )
    plan = replace(planned.plan, stages=stages, deterministic=False)
    found, _ = _timed(plan, ready)
    found |= sampled(planned, ready)
    set_determinism(True, device=device)
    return found


def _timed(
    plan: Any, ready: Any, *, watch: "_KernelWatch | None" = None
) -> tuple[dict[str, Any], Any]:
    moments: dict[str, list[float]] = {}

    def on_step(report: Any) -> None:
        times = moments.setdefault(report.stage, [])
        times.append(time.monotonic())
        if watch is not None:
            watch.step(report.stage, len(times), steps=report.stage_steps)

    _wait()
    started = time.monotonic()
    with TemporaryDirectory() as folder:
        result = _train(plan, ready, folder, on_step)
    _wait()
    found: dict[str, Any] = {"train_s": time.monotonic() - started}
    for stage, times in moments.items():
        gaps = [b - a for a, b in itertools.pairwise(times)]
        late = gaps[len(gaps) // 2 :]  # after the plain steps and the recording
        if late and not (watch is not None and watch.touched(stage)):
            found[f"{stage}_ms"] = 1000 * statistics.median(late)
    return found, result


class _KernelWatch:
    """Writes what the kernels of four steps of stage 2 cost, where it is asked to."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._profile: Any = None

    def touched(self, stage: str) -> bool:
        return self._path is not None and stage == "stage2"

    def step(self, stage: str, number: int, *, steps: int) -> None:
        if not self.touched(stage) or not torch.cuda.is_available():
            return
        if number == steps - 6:
            _wait()
            self._profile = torch.profiler.profile(
                activities=[torch.profiler.ProfilerActivity.CUDA]
            )
            self._profile.__enter__()
        if number == steps - 2:
            _wait()
            self._profile.__exit__(None, None, None)
            rows = sorted(self._profile.key_averages(), key=lambda row: -row.self_device_time_total)
            total = sum(row.self_device_time_total for row in rows) / 4000
            count = sum(row.count for row in rows) / 4
            lines = [f"{total:.2f} ms and {count:.0f} kernels a step"]
            lines += [
                f"{row.self_device_time_total / 4000:8.3f} ms {row.count / 4:7.1f} x  "
                f"{row.key[:150]}"
                for row in rows[:60]
            ]
            Path(str(self._path)).write_text("\n".join(lines) + "\n")


def resumed(planned: Any, ready: Any, *, stop_at: int, before: dict[str, Any]) -> None:
    """Train again with a stop after a checkpoint at `stop_at`, and from fresh weights on there."""
    flag = InterruptFlag()

    def on_step(report: Any) -> None:
        if report.global_step == stop_at:
            flag.ask(_StoppedError())  # type: ignore[arg-type]

    with TemporaryDirectory() as folder:
        try:
            _train(planned.plan, ready, folder, on_step, interrupt=flag)
        except _StoppedError:
            pass
        else:
            raise AssertionError("the training did not stop")
        ready.model.load_state_dict(before)
        starts: list[int] = []
        _train(planned.plan, ready, folder, lambda report: None, on_resume=starts.append)
        # The step after it may have been on its way already.
        assert starts[0] - stop_at in (0, 1), starts


def digest(model: Any) -> str:
    """SHA-256 over every trained tensor."""
    found = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


# The loop that people write -----------------------------------------------------------------


def _leave_blocks_alone() -> None:
    from core.foundation import foundation

    foundation.fuse_on_gpu = lambda model, *, device: None


def plain_loop(ready: Any, *, steps: int = 6) -> dict[str, float]:
    """Stage 2 as most write it: encoders in the loop, kernel by kernel, accumulated over 2 x 4.

    As in the harness the variant sits on the UNet, with LoRA; nothing is cached, recorded or read
    behind time.
    """
    from core.conditioning.conditioning import ConditioningInputs
    from core.conditioning.stage import ParameterGroup
    from core.training.precision import autocast

    model, foundation = ready.model, ready.foundation
    device, size = model.device, foundation.image_size
    scale = foundation.vae.config.scaling_factor
    model.adapter.enable()
    model.set_training(True)
    trained = list(model.train_only(list(ParameterGroup)).values())
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    scheduler = foundation.noise_scheduler
    waveforms = [torch.randn(3 * 48_000).numpy() for _ in range(4)]
    times = []
    for _ in range(steps):
        _wait()
        started = time.monotonic()
        for _ in range(2):
            mean, std = foundation.encode_images(torch.rand(4, 3, size, size) * 2 - 1)
            latents = (mean + std * torch.randn_like(std)).to(device) * scale
            audio = foundation.encode_audio(waveforms).pooled_BD
            inputs = ConditioningInputs(
                text_BLC=foundation.encode_text(["the sound of rain"] * 4),
                audio={AudioFeature.CLAP_POOLED: audio},
                class_index_B=torch.zeros(4, dtype=torch.int64),
            ).to(device)
            noise = torch.randn_like(latents)
            steps_B = torch.randint(0, 1000, (4,), device=device)
            noisy = scheduler.add_noise(latents, noise, steps_B)
            with autocast("bfloat16", device=device):  # type: ignore[arg-type]
                context = model.variant.condition(inputs).context()
                predicted = model.predict(noisy, steps_B, context)
            loss = (predicted.float() - noise).square().mean() / 2
            loss.backward()
            loss.item()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        _wait()
        times.append(time.monotonic() - started)
    return {"plain_ms": 1000 * statistics.median(times[2:])}


def children(arguments: Sequence[str]) -> list[str]:
    """The command line of such a process."""
    return [sys.executable, __file__, *arguments]


if __name__ == "__main__":
    main()
