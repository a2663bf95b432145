"""How fast a trained branch generates on this machine, and where the time goes."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from core.sampling.sampler import Guidance, build_solver, initial_noise, sample_latents

STEPS = 20
GUIDANCE = Guidance(text=3.0, audio=2.0)
CLIPS = (8, 1)


def sampled(planned: Any, ready: Any) -> dict[str, Any]:
    """Images a second of 8 clips and of one (20 steps, three passes, decoded); equal twice?

    Beside them what of a solver step the GPU computes, and the same where the kernels of each pass
    are launched one by one.
    """
    found: dict[str, Any] = {}
    for clips in CLIPS:
        one = _Sampling(planned, ready, clips=clips)
        end = "" if clips == CLIPS[0] else f"_of_{clips}"
        found |= {name + end: value for name, value in one.measured().items()}
    return found


class _Sampling:
    def __init__(self, planned: Any, ready: Any, *, clips: int) -> None:
        self._ids = list(ready.data.train_ids)[:clips]
        self._settings = planned.profile.sampling
        self._precision = planned.profile.training.precision
        self._ready = ready
        self._model = ready.model
        with torch.no_grad():
            self._model.set_training(False)
            inputs = ready.data.inputs(self._ids).to(self._model.device)
            self._conditioning = self._model.variant.condition(inputs)

    def measured(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        images = []
        for _ in range(3):  # kernels are chosen and compiled in the first
            seconds, latents = _timed(self._latents)
            decoding, image = _timed(lambda latents=latents: self._decoded(latents))
            images.append(image)
            found["images_per_s"] = len(self._ids) / (seconds + decoding)
            found["decode_s_per_image"] = decoding / len(self._ids)
            found["solver_step_ms"] = 1000 * seconds / STEPS
        found["is_equal_sampled"] = torch.equal(images[0], images[-1])
        if torch.cuda.is_available():
            found |= self._kernels()
            seconds, plain = _timed(lambda: self._latents(is_recorded=False))
            found["plain_solver_step_ms"] = 1000 * seconds / STEPS
            found["is_equal_recorded"] = torch.equal(latents, plain)
        return found

    def _latents(self, *, is_recorded: bool = True) -> Tensor:
        return sample_latents(
            self._model,
            conditioning=self._conditioning,
            null_text_LC=self._ready.features.null_text,
            noise_BCHW=self._noise(),
            solver=self._solver(),
            steps=STEPS,
            guidance=GUIDANCE,
            precision=self._precision,
            is_recorded=is_recorded,
        )

    def _decoded(self, latents_BCHW: Tensor) -> Tensor:
        images: Tensor = self._ready.foundation.decode_latents(latents_BCHW)
        return images

    def _noise(self) -> Tensor:
        shape = self._ready.foundation.latent_shape
        draws = [0] * len(self._ids)
        return initial_noise(self._ids, draws=draws, seed=0, latent_shape=shape)

    def _solver(self) -> Any:
        schedule = self._ready.foundation.noise_scheduler
        return build_solver(self._settings.sampler, noise_scheduler=schedule)

    def _kernels(self) -> dict[str, float]:
        """Kernels of a solver step, and the milliseconds that they take."""
        cuda = [torch.profiler.ProfilerActivity.CUDA]
        with torch.profiler.profile(activities=cuda) as profile:
            self._latents()
            torch.cuda.synchronize()
        rows = profile.key_averages()
        return {
            "solver_step_kernel_ms": sum(r.self_device_time_total for r in rows) / 1000 / STEPS,
            "solver_step_kernels": sum(row.count for row in rows) / STEPS,
        }


def _timed(work: Callable[[], Tensor]) -> tuple[float, Tensor]:
    _wait()
    started = time.monotonic()
    made = work()
    _wait()
    return time.monotonic() - started, made


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
