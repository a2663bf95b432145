"""The step as a GPU would run it, without a GPU: nothing waits, and a replay changes nothing."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from core.choices import Precision
from core.conditioning.adapters import attach_unet_adapter
from core.conditioning.attached import AttachedVariant
from core.conditioning.conditioning import AudioFeature
from core.conditioning.stage import ParameterGroup
from core.errors import GuardError
from core.foundation.mamba import selective_scan
from core.foundation.mamba.selective_scan import ScanKind
from core.training.batches import Batches, StepBatch
from core.training.decay import optimizer_groups
from core.training.graphed import PLAIN_STEPS, GraphedCompute
from core.training.objective import TrainingData
from core.training.plan import TrainingPlan
from core.training.repeatable import check_repeatable
from core.training.resident import ResidentFeatures, resident_bytes
from core.training.step import StepNumbers, StepOutcome, TrainingStep, build_optimizer
from harness.branches.registry import find_variant
from harness.testing import SmallFoundation

FOUNDATION = SmallFoundation(channels=(16, 32), latent_size=8, log_mel=(16, 32))
SETTINGS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "sonic": {},
    "cutting_edge": {"size": "own", "width": 16, "depth": 2, "patch": (8, 8)},
}


def step_of(model: AttachedVariant, *, plan: TrainingPlan, stage_index: int, null: Tensor) -> Any:
    """A stage's step on a model, as the loop builds it."""
    stage = plan.stages[stage_index]
    trained = model.train_only(stage.trains)
    groups = optimizer_groups(
        trained,
        gates=model.parameters([ParameterGroup.GATES]),
        stage=stage,
        modules=model.variant.modules(),
    )
    return TrainingStep(
        model,
        plan=plan,
        stage=stage,
        seed=0,
        trained=trained,
        optimizer=build_optimizer(groups, eps=plan.adam_eps, device=model.device),
        null_text_LD=null,
    )


class NoUpdate:
    """Stands in for the fused AdamW, which the meta device has not: it has no part in waiting."""

    def __init__(self, groups: list[dict[str, Any]], **settings: Any) -> None:
        self.param_groups = [{**group, "lr": 0.0, "fused": True} for group in groups]

    def zero_grad(self, *, set_to_none: bool) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def step(self) -> None:
        assert self.found_inf.is_meta  # type: ignore[attr-defined]


@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.FLOAT16])
@pytest.mark.parametrize("variant", list(SETTINGS))
def test_no_step_of_a_branch_waits_for_the_gpu(
    variant: str,
    precision: Precision,
    make_plan: Callable[..., TrainingPlan],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catches: an `.item()`, `bool(tensor)` or `.cpu()` in a step, after which the GPU runs dry.

    On the meta device, whose tensors have no values, each of them is an error.
    """
    monkeypatch.setitem(globals(), "build_optimizer", NoUpdate)
    monkeypatch.setattr(selective_scan, "scan_kind", lambda device: ScanKind.CHUNKED)
    plan = replace(make_plan(micro_batch=2, accumulation=2), precision=precision)
    branch = find_variant(variant).load()
    with torch.device("meta"):
        unet = FOUNDATION.unet()
        own = branch(branch.Config(**SETTINGS[variant]), shapes=FOUNDATION.shapes(unet))
        model = AttachedVariant(
            own,
            unet=unet,
            attach_adapter=lambda u: attach_unet_adapter(
                u, kind=own.unet_adapter, lora_rank=2, lora_dropout=0.1
            ),
        )
        shapes = {
            AudioFeature.CLAP_POOLED: (FOUNDATION.clap_pooled_dim,),
            AudioFeature.LOG_MEL: FOUNDATION.log_mel,
        }
        text = (FOUNDATION.num_text_tokens, FOUNDATION.context_dim)
        latents = torch.zeros(4, *FOUNDATION.latent_shape)
        batch = StepBatch.of(
            {
                "text": torch.zeros(4, *text),
                **{f"audio.{f}": torch.zeros(4, *shapes[f]) for f in own.audio_features},
                "class_index": torch.zeros(4, dtype=torch.int64),
                "noisy": latents,
                "timesteps": torch.zeros(4, dtype=torch.int64),
                "target": latents,
                "drop_text": torch.zeros(4, dtype=torch.bool),
                "drop_audio": torch.zeros(4, dtype=torch.bool),
                "weight": torch.ones(4),
            }
        )
        for stage_index in range(3):
            step = step_of(model, plan=plan, stage_index=stage_index, null=torch.zeros(*text))
            model.set_training(True)
            numbers = step.compute(batch)
            assert numbers.values.is_meta
            assert len(numbers.gates) == len(own.gates())
            with pytest.raises(RuntimeError, match="meta"):
                numbers.values.tolist()


class Again:
    """Stands in for a CUDA graph: a replay calls what was recorded on its buffers."""

    def __init__(self, keep: Callable[[], Callable[[], None]]) -> None:
        self.keep = keep
        self.num_replays = self.num_releases = 0

    def plain(self, function: Callable[[], StepNumbers]) -> StepNumbers:
        return function()

    def record(self, function: Callable[[], StepNumbers]) -> StepNumbers:
        put_back = self.keep()
        self.function, self.numbers = function, function()
        put_back()  # a graph that is recorded runs nothing
        return self.numbers

    def replay(self) -> None:
        self.num_replays += 1
        self.numbers.values.copy_(self.function().values)

    def release(self) -> None:
        self.num_releases += 1


def steps(
    model: AttachedVariant,
    *,
    data: TrainingData,
    plan: TrainingPlan,
    scheduler: Any,
    is_recorded: bool = False,
) -> list[StepOutcome]:
    """Outcomes of a stage's first steps, all read at the end."""
    step = step_of(model, plan=plan, stage_index=1, null=data.features.null_text)
    batches = Batches(
        data,
        plan=plan,
        stage_index=1,
        scheduler=scheduler,
        latent_shape=(4, 4, 4),
        seed=3,
        device=model.device,
    )

    def keep() -> Callable[[], None]:
        held = [*step.parameters, *step.watch.tensors().values()]
        held += [t for state in step.optimizer.state.values() for t in state.values()]
        copies = [tensor.detach().clone() for tensor in held]
        drawn = torch.get_rng_state()

        def put_back() -> None:
            with torch.no_grad():
                for tensor, copy in zip(held, copies, strict=True):
                    tensor.copy_(copy)
            torch.set_rng_state(drawn)

        return put_back

    recorder = Again(keep)
    if is_recorded:
        step.run = GraphedCompute(step.compute, recorder=recorder)
    pending = [step(batches.at(number), step=number) for number in range(PLAIN_STEPS + 2)]
    assert recorder.num_replays == (2 if is_recorded else 0)
    return [one.read() for one in pending]


def test_replayed_steps_are_the_plain_ones(
    make_model: Callable[[], AttachedVariant],
    data: TrainingData,
    plan: TrainingPlan,
    scheduler: Any,
) -> None:
    """Catches: a replay on the batch it was recorded with, or numbers that the next overwrites."""
    plain, replayed = make_model(), make_model()
    expected = steps(plain, data=data, plan=plan, scheduler=scheduler)
    got = steps(replayed, data=data, plan=plan, scheduler=scheduler, is_recorded=True)
    assert got == expected
    others = replayed.state_dict()
    assert all(torch.equal(t, others[n]) for n, t in plain.state_dict().items())


def empty_batch() -> StepBatch:
    names = ("text", "class_index", "drop_text", "drop_audio", "weight")
    return StepBatch.of(dict.fromkeys((*names, "noisy", "timesteps", "target"), torch.zeros(1)))


def test_a_step_that_cannot_be_recorded_is_made_plain_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Catches: a run that dies for the sake of speed, or slows down in silence."""
    numbers = StepNumbers(values=torch.zeros(1), per_micro=(), per_step=(), gates=())

    class Refuses(Again):
        def record(self, function: Callable[[], StepNumbers]) -> StepNumbers:
            raise RuntimeError("operation not permitted when stream is capturing")

    graphed = GraphedCompute(lambda batch: numbers, recorder=Refuses(lambda: lambda: None))
    batch = empty_batch()
    assert [graphed(batch) for _ in range(PLAIN_STEPS + 3)] == [numbers] * (PLAIN_STEPS + 3)
    assert not graphed.is_recorded
    assert [record.message.count("not permitted") for record in caplog.records] == [1]


def test_the_fused_update_leaves_out_a_step_that_is_not_finite(
    make_model: Callable[[], AttachedVariant],
    data: TrainingData,
    plan: TrainingPlan,
    scheduler: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catches: NaN that is in the weights before the host has read that the step was not finite."""

    def fused(groups: Any, *, eps: float, device: torch.device) -> torch.optim.AdamW:
        return torch.optim.AdamW(groups, lr=0.0, eps=eps, fused=True)

    monkeypatch.setitem(globals(), "build_optimizer", fused)
    model = make_model()
    poisoned = replace(data, class_weight=dict.fromkeys(data.train_ids, float("nan")))
    before = model.state_dict()
    with pytest.raises(GuardError, match="loss nan"):
        steps(model, data=poisoned, plan=plan, scheduler=scheduler)
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
    steps(model, data=data, plan=plan, scheduler=scheduler)
    assert any(not torch.equal(t, before[n]) for n, t in model.state_dict().items())


def test_a_branch_that_differs_from_itself_is_refused(
    make_model: Callable[[], AttachedVariant],
    data: TrainingData,
    plan: TrainingPlan,
    scheduler: Any,
) -> None:
    """Catches: runs that no seed repeats, told apart only by comparing two of them."""
    model = make_model()
    step = step_of(model, plan=plan, stage_index=1, null=data.features.null_text)
    batches = Batches(
        data,
        plan=plan,
        stage_index=1,
        scheduler=scheduler,
        latent_shape=(4, 4, 4),
        seed=3,
        device=model.device,
    )
    before = model.state_dict()
    check_repeatable(step, batches.at(0))
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
    own, calls = model.variant.audio_tokens, iter(range(9))
    model.variant.audio_tokens = lambda inputs: own(inputs) * (1 + 0.01 * next(calls))
    with pytest.raises(GuardError, match="two equal passes give different gradients"):
        check_repeatable(step, batches.at(0))


def test_resident_features_are_the_same_rows(data: TrainingData) -> None:
    """Catches: clips, crops or mirrored latents mixed up on their way to the GPU."""
    crops = {data.train_ids[1]: 2, data.train_ids[3]: 3}
    data = replace(data, num_crops=crops, horizontal_flip=True)
    held = replace(data, features=ResidentFeatures(data, device=torch.device("cpu")))
    ids = [data.train_ids[k] for k in (3, 0, 1, 3)]
    draws = [0.9, 0.4, 0.6, 0.0]
    flips = [True, False, True, False]
    for one, other in (
        (data.inputs(ids, crop_draws=draws), held.inputs(ids, crop_draws=draws)),
        (data.inputs(data.validation_ids), held.inputs(data.validation_ids)),
    ):
        assert torch.equal(one.text_BLC, other.text_BLC)
        assert torch.equal(one.class_index_B, other.class_index_B)
        assert all(torch.equal(v, other.audio[f]) for f, v in one.audio.items())
    for got, expected in zip(
        held.features.latent_moments(ids, flips),
        data.features.latent_moments(ids, flips),
        strict=True,
    ):
        assert torch.equal(got, expected)
    assert torch.equal(held.features.null_text, data.features.null_text)
    assert resident_bytes(data) > 0


def test_a_stages_graph_gives_its_memory_back() -> None:
    """Catches: the graphs of three stages on the card at a time, 35 GiB instead of 14."""
    numbers = StepNumbers(values=torch.zeros(1), per_micro=(), per_step=(), gates=())
    recorder = Again(lambda: lambda: None)
    graphed = GraphedCompute(lambda batch: numbers, recorder=recorder)
    graphed.release()  # nothing to give back yet
    assert recorder.num_releases == 0
    for _ in range(PLAIN_STEPS + 1):
        graphed(empty_batch())
    assert graphed.is_recorded
    graphed.release()
    assert recorder.num_releases == 1
    assert not graphed.is_recorded
