"""Guided sampling of any variant, the one sampler for every branch.

Shape legend: B batch, C latent channels, H W latent height and width.

"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core.choices import Precision
from core.choices import Sampler as Sampler
from core.conditioning.attached import AttachedVariant
from core.conditioning.conditioning import Conditioning
from core.randomness import normal
from core.sampling.recorded import recorded
from core.training.precision import autocast


@dataclass(frozen=True)
class Guidance:
    """Weights of classifier-free guidance; 1 is none.

    text: of the caption against the empty prompt. audio: of the sound against the caption alone.
    """

    text: float
    audio: float


_TIMESTEPS: dict[str, Any] = {"timestep_spacing": "leading", "steps_offset": 1}
"""Stable Diffusion's own since v1 (its PNDM scheduler): multiples of T / steps, moved up by 1."""


def build_solver(kind: Sampler, *, noise_scheduler: Any) -> Any:
    """The diffusers scheduler for `kind`, on the foundation's own noise schedule.

    Which timesteps are visited is set here, not taken from the foundation's configuration: one that
    leaves it out would get each solver's own default, and DPM++ and UniPC would start elsewhere.
    """
    from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler

    config = noise_scheduler.config
    if kind is Sampler.DDIM:
        return DDIMScheduler.from_config(config, **_TIMESTEPS)
    if kind is Sampler.UNIPC:
        return UniPCMultistepScheduler.from_config(config, **_TIMESTEPS)
    return DPMSolverMultistepScheduler.from_config(
        config, algorithm_type="dpmsolver++", use_karras_sigmas=False, **_TIMESTEPS
    )


def initial_noise(
    sample_ids: Sequence[str], *, draws: Sequence[int], seed: int, latent_shape: Sequence[int]
) -> Tensor:
    """First noise [B, C, H, W]: a function of seed, sample and draw alone, so branches pair."""
    return torch.stack(
        [
            normal(latent_shape, seed=seed, name=("sample", sample_id, draw))
            for sample_id, draw in zip(sample_ids, draws, strict=True)
        ]
    )


class Guided:
    """The prediction of a branch, guided by text and sound independently.

    After Brooks et al. 2023, eq. 3, with text as the first condition:
    e = e(none) + s_text (e(text) - e(none)) + s_audio (e(text, audio) - e(text)).
    A term that cancels is not computed: without audio tokens, or with a weight of 1.
    """

    def __init__(
        self,
        model: AttachedVariant,
        *,
        conditioning: Conditioning,
        null_text_LC: Tensor,
        guidance: Guidance,
        precision: Precision = Precision.FLOAT32,
    ) -> None:
        self._model = model
        self._precision = precision
        self.device = model.device
        num_rows = conditioning.text_BLC.shape[0]
        everything_B = torch.ones(num_rows, dtype=torch.bool, device=self.device)
        silent = conditioning.with_audio_dropped(everything_B)
        null = silent.with_text_dropped(everything_B, null_text_LC=null_text_LC.to(self.device))
        is_heard = conditioning.audio_BNC is not None and not _is_absent(conditioning)

        # Weights of the full, the text-only and the null prediction; they sum to 1.
        audio_weight = guidance.audio if is_heard else 0.0
        weighted = [
            (conditioning, audio_weight),
            (silent, guidance.text - audio_weight),
            (null, 1.0 - guidance.text),
        ]
        passes = [(c, w) for c, w in weighted if w != 0.0]
        self._weights = [weight for _, weight in passes]
        self._context_BKC = torch.cat([condition.context() for condition, _ in passes])
        model.set_training(False)

    def __call__(self, noisy_BCHW: Tensor, timestep: Tensor) -> Tensor:
        """Guided prediction [B, C, H, W], float32."""
        num = len(self._weights)
        with autocast(self._precision, device=self.device):
            predicted = self._model.predict(
                torch.cat([noisy_BCHW] * num),
                timestep.expand(noisy_BCHW.shape[0] * num),
                self._context_BKC,
            ).float()
        chunks = predicted.chunk(num)
        return sum(
            (weight * chunk for weight, chunk in zip(self._weights, chunks, strict=True)),
            start=torch.zeros_like(chunks[0]),
        )


def _nothing(done: int, timestep: Tensor) -> None:
    """Comes before a step where nothing does."""


@torch.no_grad()
def sample_latents(
    model: AttachedVariant,
    *,
    conditioning: Conditioning,
    null_text_LC: Tensor,
    noise_BCHW: Tensor,
    solver: Any,
    steps: int,
    guidance: Guidance,
    precision: Precision = Precision.FLOAT32,
    on_step: Callable[[int], None] = lambda step: None,
    skipped: int = 0,
    before_step: Callable[[int, Tensor], None] = _nothing,
    after_step: Callable[[int, Tensor], Tensor] = lambda done, latents_BCHW: latents_BCHW,
    is_recorded: bool = True,
) -> Tensor:
    """Scaled latents [B, C, H, W] sampled under `conditioning`, float32; see `Guided`.

    skipped: of the solver's steps, how many are left out at the start; `noise_BCHW` are then
    latents at the noise of the first that is taken. before_step: gets the number of steps done,
    skipped ones among them, and the timestep that comes. after_step: gets the number of steps done
    and the latents, and returns those to go on with. is_recorded: whether a GPU may play the passes
    from a recording, which changes no bit (`RecordedPass`).
    """
    guided = Guided(
        model,
        conditioning=conditioning,
        null_text_LC=null_text_LC,
        guidance=guidance,
        precision=precision,
    )
    solver.set_timesteps(steps, device=guided.device)
    replayed = None
    if is_recorded and before_step is _nothing:  # what comes between passes is Python's
        replayed = recorded(guided, device=guided.device, steps=steps - skipped)
    predict = replayed or guided
    latents_BCHW = noise_BCHW.to(guided.device)
    if skipped == 0:
        latents_BCHW = latents_BCHW * solver.init_noise_sigma
    try:
        for index, timestep in enumerate(solver.timesteps[skipped:], start=skipped):
            before_step(index, timestep)
            noisy_BCHW = solver.scale_model_input(latents_BCHW, timestep)
            guided_BCHW = predict(noisy_BCHW, timestep)
            latents_BCHW = solver.step(guided_BCHW, timestep, latents_BCHW).prev_sample
            latents_BCHW = after_step(index + 1, latents_BCHW)
            on_step(index + 1)
    finally:
        if replayed is not None:
            replayed.release()
    return latents_BCHW.float()


def _is_absent(conditioning: Conditioning) -> bool:
    return conditioning.audio_mask_BN is not None and not bool(conditioning.audio_mask_BN.any())
