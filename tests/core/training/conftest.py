"""A small real UNet with a variant on it, and features of a dozen clips in memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler
from torch import Tensor

from core.choices import Precision
from core.conditioning.adapters import attach_unet_adapter
from core.conditioning.attached import AttachedVariant
from core.conditioning.conditioning import AudioFeature, ConditioningInputs
from core.conditioning.stage import ParameterGroup, Stage, StopCriterion
from core.randomness import normal, torch_seeded
from core.training.checkpoints import CheckpointFolder
from core.training.loop import train
from core.training.objective import TrainingData
from core.training.plan import TrainingPlan
from core.training.results import StepReport
from harness.testing import SmallFoundation
from tests.core.training.trained import MakeModel, MakePlan, Whole, run
from variants.baseline import VARIANT as BASELINE

FOUNDATION = SmallFoundation(
    channels=(16, 32), latent_size=4, context_dim=32, num_text_tokens=5, clap_pooled_dim=16
)
LATENT_SHAPE = FOUNDATION.latent_shape
AUDIO, GATES, ADAPTER = ParameterGroup.AUDIO, ParameterGroup.GATES, ParameterGroup.UNET_ADAPTER


@dataclass(frozen=True)
class MemoryFeatures:
    """Features drawn by name, so that every sample has its own."""

    @property
    def null_text(self) -> Tensor:
        return normal((5, 32), seed=0, name=("null",))

    def latent_moments(self, ids: Sequence[str], flipped: Sequence[bool]) -> tuple[Tensor, Tensor]:
        mean = torch.stack([normal(LATENT_SHAPE, seed=0, name=("latent", i)) for i in ids])
        return mean, torch.full_like(mean, 0.1)

    def text(self, ids: Sequence[str]) -> Tensor:
        return torch.stack([normal((5, 32), seed=0, name=("text", i)) for i in ids])

    def audio(
        self, feature: AudioFeature, ids: Sequence[str], crops: Sequence[int] | None = None
    ) -> Tensor:
        names = [("audio", i) for i in ids]
        if crops is not None:
            names = [
                (*name, crop) if crop else name for name, crop in zip(names, crops, strict=True)
            ]
        return torch.stack([normal((16,), seed=0, name=name) for name in names])

    def class_index(self, ids: Sequence[str]) -> Tensor:
        return torch.tensor([int(i) % 3 for i in ids])


@pytest.fixture(scope="session")
def make_model() -> Callable[[], AttachedVariant]:
    """A fresh, identically initialised baseline on a fresh UNet at each call."""

    def make() -> AttachedVariant:
        unet = FOUNDATION.unet()
        shapes = FOUNDATION.shapes(unet)
        with torch_seeded(0, "test", "init"):
            variant = BASELINE(BASELINE.Config(num_tokens=2, hidden_dim=16), shapes=shapes)
            return AttachedVariant(
                variant,
                unet=unet,
                attach_adapter=lambda u: attach_unet_adapter(
                    u, kind=variant.unet_adapter, lora_rank=2, lora_dropout=0.1
                ),
            )

    return make


@pytest.fixture
def data() -> TrainingData:
    return build_data()


@pytest.fixture(scope="session")
def make_data() -> Callable[[], TrainingData]:
    return build_data


def build_data() -> TrainingData:
    ids = tuple(str(number) for number in range(12))
    return TrainingData(
        features=MemoryFeatures(),
        train_ids=ids[:10],
        validation_ids=ids[10:],
        class_weight=dict.fromkeys(ids, 1.0),
        audio_features=frozenset({AudioFeature.CLAP_POOLED}),
        scaling_factor=1.0,
        horizontal_flip=False,
    )


@pytest.fixture
def inputs(data: TrainingData) -> ConditioningInputs:
    return data.inputs(data.train_ids[:4])


@pytest.fixture
def plan() -> TrainingPlan:
    return build_plan()


@pytest.fixture(scope="session")
def make_plan() -> Callable[..., TrainingPlan]:
    return build_plan


def build_plan(
    *, steps: tuple[int, int, int] = (4, 5, 3), micro_batch: int = 2, accumulation: int = 2
) -> TrainingPlan:
    groups = ((AUDIO, GATES), (AUDIO, GATES, ADAPTER), (GATES,))
    return TrainingPlan(
        stages=tuple(
            Stage(f"stage{n}", count, 1e-3, 1e-2, 0.01, 1, trains)
            for n, (count, trains) in enumerate(zip(steps, groups, strict=True), start=1)
        ),
        micro_batch=micro_batch,
        accumulation=accumulation,
        grad_clip=0.5,
        precision=Precision.FLOAT32,
        text_dropout=0.2,
        audio_dropout=0.2,
        checkpoint_every=2,
        validate_every=2,
        validation_draws=2,
    )


@pytest.fixture(scope="session")
def scheduler() -> DDPMScheduler:
    return DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False
    )


@pytest.fixture(scope="module")
def whole(
    make_model: MakeModel,
    make_plan: MakePlan,
    make_data: Callable[[], TrainingData],
    scheduler: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Whole:
    """Three stages from end to end, the last one kept by its validation loss."""
    plan = make_plan()
    last = replace(plan.stages[2], stop=StopCriterion.VALIDATION_LOSS)
    plan = replace(plan, stages=(*plan.stages[:2], last))
    model = make_model()
    frozen = {name: p.detach().clone() for name, p in model.frozen_parameters().items()}
    start, stages = model.state_dict(), {}
    losses: list[float] = []

    def note(report: StepReport) -> None:
        losses.append(report.loss)
        if report.step == report.stage_steps:
            stages[report.stage] = model.state_dict()

    folder = tmp_path_factory.mktemp("whole")
    run(model, data=make_data(), plan=plan, scheduler=scheduler, folder=folder, on_step=note)
    return Whole(
        plan=plan,
        folder=folder,
        start=start,
        stages=stages,
        losses=losses,
        model=model,
        frozen=frozen,
    )


@pytest.fixture
def model(make_model: MakeModel) -> AttachedVariant:
    return make_model()


@pytest.fixture
def trained(
    data: TrainingData, make_plan: MakePlan, scheduler: Any, tmp_path: Path
) -> Callable[..., Any]:
    """Train a model through stage 1 alone, as long as it takes to be judged."""

    def run(model: AttachedVariant, *, steps: int = 9, accumulation: int = 2) -> Any:
        return train(
            model,
            data=data,
            plan=make_plan(steps=(steps, 0, 0), accumulation=accumulation),
            scheduler=scheduler,
            latent_shape=LATENT_SHAPE,
            seed=3,
            checkpoints=CheckpointFolder(tmp_path),
        )

    return run
