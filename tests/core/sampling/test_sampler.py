"""Guided sampling: the formula, what it may depend on, and that it hears what training heard."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler
from torch import Tensor

from core.conditioning.adapters import attach_unet_adapter
from core.conditioning.attached import AttachedVariant
from core.conditioning.conditioning import AudioFeature, Conditioning, ConditioningInputs
from core.conditioning.variant import Variant
from core.randomness import normal, torch_seeded
from core.sampling.sampler import Guidance, Sampler, build_solver, initial_noise, sample_latents
from harness.testing import SmallFoundation
from variants.baseline import VARIANT as BASELINE
from variants.sonic import VARIANT as SONIC

FOUNDATION = SmallFoundation(
    channels=(16, 32), latent_size=4, context_dim=32, num_text_tokens=5, clap_pooled_dim=16
)
LATENT_SHAPE = FOUNDATION.latent_shape
IDS = ["a", "b", "c"]
Sample = Callable[..., Tensor]


@pytest.fixture
def scheduler() -> DDPMScheduler:
    return DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False
    )


def build(cls: type[Variant]) -> AttachedVariant:
    """A variant with open gates on a small real UNet."""
    unet = FOUNDATION.unet()
    shapes = FOUNDATION.shapes(unet)
    with torch_seeded(0, "test", "sampler"):
        variant = cls(cls.Config(hidden_dim=16), shapes=shapes)
        model = AttachedVariant(
            variant,
            unet=unet,
            attach_adapter=lambda u: attach_unet_adapter(u, kind=variant.unet_adapter),
        )
    with torch.no_grad():
        for gate in variant.gates().values():
            gate.fill_(1.0)
    model.set_training(False)
    return model


@pytest.fixture(params=[BASELINE, SONIC], ids=["baseline", "sonic"])
def model(request: pytest.FixtureRequest) -> AttachedVariant:
    return build(request.param)


def inputs_of(ids: list[str]) -> ConditioningInputs:
    pooled = torch.stack([normal((16,), seed=0, name=("audio", i)) for i in ids])
    return ConditioningInputs(
        text_BLC=torch.stack([normal((5, 32), seed=0, name=("text", i)) for i in ids]),
        audio={AudioFeature.CLAP_POOLED: pooled / pooled.norm(dim=1, keepdim=True)},
        class_index_B=torch.zeros(len(ids), dtype=torch.int64),
    )


NULL_TEXT = normal((5, 32), seed=0, name=("null",))


@pytest.fixture
def sample(model: AttachedVariant, scheduler: DDPMScheduler) -> Sample:
    def call(
        conditioning: Conditioning,
        *,
        ids: list[str] = IDS,
        text: float = 1.0,
        audio: float = 1.0,
        kind: Sampler = Sampler.DDIM,
        solver: Any = None,
        steps: int = 3,
    ) -> Tensor:
        return sample_latents(
            model,
            conditioning=conditioning,
            null_text_LC=NULL_TEXT,
            noise_BCHW=initial_noise(ids, draws=[0] * len(ids), seed=1, latent_shape=LATENT_SHAPE),
            solver=solver or build_solver(kind, noise_scheduler=scheduler),
            steps=steps,
            guidance=Guidance(text=text, audio=audio),
        )

    return call


@pytest.mark.parametrize("kind", list(Sampler))
@pytest.mark.parametrize("said", [{}, {"timestep_spacing": "linspace"}])
def test_the_timesteps_do_not_depend_on_what_a_foundation_leaves_out(
    kind: Sampler, said: dict[str, str]
) -> None:
    """Catches: a solver that starts at 999 or at 913 by a key of somebody's configuration."""
    solver = build_solver(kind, noise_scheduler=DDPMScheduler(**said))
    solver.set_timesteps(12)
    assert solver.config.timestep_spacing == "leading"
    assert int(solver.timesteps[0]) < 950
    assert int(solver.timesteps.min()) >= 1


@pytest.mark.parametrize(("text", "audio"), [(1, 1), (3, 1), (1, 2), (3, 2), (2, 2), (5, 3)])
def test_guidance_is_the_three_pass_formula(
    model: AttachedVariant, sample: Sample, scheduler: DDPMScheduler, text: float, audio: float
) -> None:
    """Catches: a swapped term, a scale on the wrong difference, a pass dropped that matters."""
    with torch.no_grad():
        conditioning = model.variant.condition(inputs_of(IDS))
        noise_BCHW = initial_noise(IDS, draws=[0, 0, 0], seed=1, latent_shape=LATENT_SHAPE)
        everything_B = torch.ones(3, dtype=torch.bool)
        text_only = conditioning.with_audio_dropped(everything_B)
        nothing = text_only.with_text_dropped(everything_B, null_text_LC=NULL_TEXT)
        solver = build_solver(Sampler.DDIM, noise_scheduler=scheduler)
        solver.set_timesteps(3)
        expected = noise_BCHW
        for timestep in solver.timesteps:
            e_none, e_text, e_full = (
                model.predict(expected, timestep.expand(3), c.context())
                for c in (nothing, text_only, conditioning)
            )
            eps = e_none + text * (e_text - e_none) + audio * (e_full - e_text)
            expected = solver.step(eps, timestep, expected).prev_sample
    got = sample(conditioning, text=text, audio=audio)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_sound_changes_the_sample(model: AttachedVariant, sample: Sample) -> None:
    """Catches: tests of guidance that pass because the audio path is dead."""
    conditioning = model.variant.condition(inputs_of(IDS))
    silent = conditioning.with_audio_dropped(torch.ones(3, dtype=torch.bool))
    assert (sample(conditioning) - sample(silent)).abs().max() > 1e-3


@torch.no_grad()
def test_absent_audio_is_text_only_sampling(model: AttachedVariant, sample: Sample) -> None:
    """Catches: audio guidance that still acts where there is no sound to guide by."""
    conditioning = model.variant.condition(inputs_of(IDS))
    absent = conditioning.with_audio_dropped(torch.ones(3, dtype=torch.bool))
    text_only = Conditioning(text_BLC=conditioning.text_BLC)
    torch.testing.assert_close(
        sample(absent, text=3, audio=7), sample(text_only, text=3, audio=1), rtol=1e-4, atol=1e-5
    )


def test_initial_noise_is_a_function_of_seed_sample_and_draw_alone() -> None:
    """Catches: noise that depends on batch order, so that branches no longer pair."""

    def noise(ids: list[str], draws: list[int], seed: int) -> Tensor:
        return initial_noise(ids, draws=draws, seed=seed, latent_shape=LATENT_SHAPE)

    whole = noise(["a", "b", "c"], [0, 0, 1], 3)
    assert torch.equal(whole.flip(0), noise(["c", "b", "a"], [1, 0, 0], 3))
    assert torch.equal(whole[1:2], noise(["b"], [0], 3))
    for other in (noise(["b"], [1], 3), noise(["b"], [0], 4), noise(["d"], [0], 3)):
        assert not torch.equal(whole[1:2], other)


@torch.no_grad()
def test_batch_composition_changes_only_roundings(model: AttachedVariant, sample: Sample) -> None:
    """Catches: a clip's image that depends on the clips sampled beside it."""
    together = sample(model.variant.condition(inputs_of(IDS)), text=3, audio=2)
    alone = torch.cat(
        [sample(model.variant.condition(inputs_of([i])), ids=[i], text=3, audio=2) for i in IDS]
    )
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("kind", list(Sampler))
def test_every_solver_runs_and_repeats_with_the_same_object(
    model: AttachedVariant, sample: Sample, scheduler: DDPMScheduler, kind: Sampler
) -> None:
    """Catches: a multistep solver that carries its history into the next batch."""
    solver = build_solver(kind, noise_scheduler=scheduler)
    conditioning = model.variant.condition(inputs_of(IDS))
    first = sample(conditioning, solver=solver, steps=4)
    second = sample(conditioning, solver=solver, steps=4)
    assert torch.isfinite(first).all()
    assert torch.equal(first, second)
    assert torch.equal(first, sample(conditioning, kind=kind, steps=4))


def test_sampling_hears_the_context_that_training_heard(
    model: AttachedVariant, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: defect 10, padding, masks or token order that differ between the two."""
    contexts: list[Tensor] = []
    predict = AttachedVariant.predict

    def noted(self: AttachedVariant, noisy: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        contexts.append(context.detach().clone())
        return predict(self, noisy, timesteps, context)

    inputs = inputs_of(IDS)
    with torch.no_grad():
        trained_BKC = (
            model.variant.condition(inputs)
            .with_text_dropped(torch.zeros(3, dtype=torch.bool), null_text_LC=NULL_TEXT)
            .with_audio_dropped(torch.zeros(3, dtype=torch.bool))
            .context()
        )
        monkeypatch.setattr(AttachedVariant, "predict", noted)
        sample(model.variant.condition(inputs), text=3, audio=2, steps=1)
    assert len(contexts) == 1
    full, silent, null = contexts[0].chunk(3)
    assert torch.equal(full, trained_BKC)
    assert torch.equal(silent[:, :5], inputs.text_BLC)
    assert not silent[:, 5:].any()
    assert torch.equal(null[:, :5], NULL_TEXT.expand(3, -1, -1))
    assert not null[:, 5:].any()


@torch.no_grad()
def test_dropout_is_off_while_sampling(model: AttachedVariant, sample: Sample) -> None:
    """Catches: images of a model still in training mode, different at each call."""
    conditioning = model.variant.condition(inputs_of(IDS))
    model.set_training(True)
    first = sample(conditioning)
    model.set_training(True)
    assert torch.equal(first, sample(replace(conditioning)))
    assert not model.unet.training
