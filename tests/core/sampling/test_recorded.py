"""Sampling by replay, on a GPU that is not there, beside plain passes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler
from torch import Tensor

from core.conditioning.adapters import attach_unet_adapter
from core.conditioning.attached import AttachedVariant
from core.randomness import torch_seeded
from core.sampling import recorded
from core.sampling.recorded import FEWEST_STEPS
from core.sampling.sampler import Guidance, Sampler, build_solver, initial_noise, sample_latents
from core.training.graphed import CudaRecorder
from harness.testing import SmallFoundation
from harness.testing.pretended_gpu import GPU, pretended_gpu
from variants.sonic import VARIANT as SONIC

FOUNDATION = SmallFoundation(channels=(16, 32), latent_size=4, context_dim=32)
IDS = ["a", "b", "c", "d"]


class Counting(CudaRecorder[Any]):
    """Counts what became of each recording."""

    replays = releases = 0

    def replay(self) -> None:
        Counting.replays += 1
        super().replay()

    def release(self) -> None:
        Counting.releases += 1
        super().release()


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "CudaRecorder", Counting)
    Counting.replays = Counting.releases = 0
    recorded._say.cache_clear()


def branch() -> AttachedVariant:
    """A branch with open gates on the GPU."""
    unet = FOUNDATION.unet().to(GPU)
    with torch_seeded(0, "test", "recorded"):
        own = SONIC(SONIC.Config(hidden_dim=16), shapes=FOUNDATION.shapes(unet)).to(GPU)
        model = AttachedVariant(
            own, unet=unet, attach_adapter=lambda u: attach_unet_adapter(u, kind=own.unet_adapter)
        )
    with torch.no_grad():
        for gate in own.gates().values():
            gate.fill_(1.0)
    return model


def sampled(
    model: AttachedVariant, *, kind: Sampler = Sampler.DPM_SOLVER_PP, **more: Any
) -> Tensor:
    with torch.no_grad():
        conditioning = model.variant.condition(
            FOUNDATION.inputs(model.variant.audio_features).to(GPU)
        )
    schedule = DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False
    )
    settings: dict[str, Any] = {"steps": 8, "guidance": Guidance(text=3.0, audio=2.0), **more}
    return sample_latents(
        model,
        conditioning=conditioning,
        null_text_LC=FOUNDATION.null_text(),
        noise_BCHW=initial_noise(
            IDS, draws=[0] * len(IDS), seed=1, latent_shape=FOUNDATION.latent_shape
        ),
        solver=build_solver(kind, noise_scheduler=schedule),
        **settings,
    ).cpu()


@pytest.mark.parametrize("kind", list(Sampler))
def test_replayed_passes_give_the_same_latents(
    kind: Sampler, caplog: pytest.LogCaptureFixture, one_thread: None
) -> None:
    """Catches: a timestep or latents that stay those of the recording, a result overwritten."""
    with pretended_gpu():
        model = branch()
        played = sampled(model, kind=kind)
        assert (Counting.replays, Counting.releases) == (8, 1)  # the first of them is the check
        assert torch.equal(played, sampled(model, kind=kind, is_recorded=False))
        assert Counting.replays == 8
    assert caplog.records == []


@pytest.mark.parametrize(
    "more",
    [
        {"steps": FEWEST_STEPS - 1},
        {"steps": 8, "skipped": 8 - FEWEST_STEPS + 1},
        {"before_step": lambda done, timestep: None},
    ],
)
def test_what_is_short_or_interrupted_is_not_recorded(more: dict[str, Any]) -> None:
    """Catches: an edit whose kept attention a graph plays again, and a detour of two steps."""
    with pretended_gpu():
        sampled(branch(), **more)
    assert Counting.replays == 0


def test_a_branch_that_counts_its_passes_stays_plain_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Catches: images of another temperature than the branch asked for."""
    with pretended_gpu():
        counts = []
        for is_recorded in (True, False):
            model, passes = branch(), iter(range(99))
            own = model.predict

            def predict(*args: Tensor, own: Callable[..., Tensor] = own) -> Tensor:
                return own(*args) * (1 + 0.01 * next(passes))  # noqa: B023 (called in this turn)

            model.predict = predict  # type: ignore[method-assign]
            sampled(model, is_recorded=is_recorded)
            counts.append(next(passes))
    assert [record.message.count("counts its passes") for record in caplog.records] == [1]
    assert Counting.releases == 1
    assert counts == [9, 8]  # with one pass for the recording


def test_a_pass_that_cannot_be_recorded_is_made_plain(
    caplog: pytest.LogCaptureFixture, one_thread: None
) -> None:
    """Catches: no images at all from a branch that reads a value of its own; silence about it."""
    with pretended_gpu():
        model = branch()
        expected = sampled(model, is_recorded=False)
        own = model.predict

        def predict(*args: Tensor) -> Tensor:
            found = own(*args)
            assert found.sum().item() == found.sum().item()
            return found

        model.predict = predict  # type: ignore[method-assign]
        assert torch.equal(sampled(model), expected)
        assert torch.equal(sampled(model), expected)
    assert [record.message.count("not permitted") for record in caplog.records] == [1]


def test_too_little_memory_is_told_to_who_can_halve_the_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catches: an out-of-memory at the recording that is taken for a branch's fault."""

    def record(self: object, function: object) -> None:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(Counting, "record", record)
    with pretended_gpu(), pytest.raises(torch.OutOfMemoryError):
        sampled(branch())
