"""Trainings whose steps are replayed, on a GPU that is not there, beside plain ones."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.choices import AudioFeature, Precision
from core.conditioning.adapters import attach_unet_adapter
from core.conditioning.attached import AttachedVariant
from core.randomness import torch_seeded
from core.training import stage_loop
from core.training.graphed import CudaRecorder
from core.training.plan import TrainingPlan
from core.training.results import StepReport
from harness.branches.registry import find_variant
from harness.testing import SmallFoundation
from harness.testing.pretended_gpu import GPU, pretended_gpu
from tests.core.training.conftest import MemoryFeatures, build_data
from tests.core.training.trained import LATENT_SHAPE, run

FOUNDATION = SmallFoundation(
    channels=(16, 32),
    latent_size=LATENT_SHAPE[-1],
    context_dim=32,
    num_text_tokens=5,
    clap_pooled_dim=16,
    log_mel=(16, 32),
)
SETTINGS: dict[str, dict[str, Any]] = {
    "baseline": {"num_tokens": 2, "hidden_dim": 16},
    "sonic": {"hidden_dim": 16},
    "cutting_edge": {"size": "own", "width": 16, "depth": 2, "patch": (8, 8)},
}
REFUSAL = "operation not permitted when stream is capturing"


class RecordsNothing:
    """In place of a `CudaRecorder`: every step is made plain."""

    def plain(self, function: Callable[[], Any]) -> Any:
        return function()

    def record(self, function: Callable[[], Any]) -> Any:
        raise RuntimeError(REFUSAL)


class Features(MemoryFeatures):
    """Sounds of each kind that a branch asks for."""

    def audio(self, feature: AudioFeature, ids: Any, crops: Any = None) -> Tensor:
        if feature is AudioFeature.CLAP_POOLED:
            return super().audio(feature, ids, crops)
        draws = [torch.Generator().manual_seed(int(sample_id)) for sample_id in ids]
        return torch.stack([torch.randn(*FOUNDATION.log_mel, generator=draw) for draw in draws])


@dataclass(frozen=True)
class Trained:
    """What a training left."""

    state: dict[str, Tensor]
    losses: list[float]
    is_recorded: set[bool]


def on_gpu(variant: str) -> AttachedVariant:
    branch = find_variant(variant).load()
    unet = FOUNDATION.unet().to(GPU)
    with torch_seeded(0, "test", "recorded"):
        own = branch(branch.Config(**SETTINGS[variant]), shapes=FOUNDATION.shapes(unet)).to(GPU)
        return AttachedVariant(
            own,
            unet=unet,
            attach_adapter=lambda u: attach_unet_adapter(
                u, kind=own.unet_adapter, lora_rank=2, lora_dropout=0.1
            ),
        )


def trained(
    variant: str, *, plan: TrainingPlan, scheduler: Any, folder: Path, has_graphs: bool
) -> Trained:
    """The three stages of a branch on the pretended GPU."""
    losses: list[float] = []

    def note(report: StepReport) -> None:
        losses.append(report.loss)

    with pytest.MonkeyPatch.context() as patch, pretended_gpu():
        patch.setattr(stage_loop, "CudaRecorder", CudaRecorder if has_graphs else RecordsNothing)
        model = on_gpu(variant)
        data = replace(
            build_data(), features=Features(), audio_features=model.variant.audio_features
        )
        own = deepcopy(scheduler)  # it keeps its tables where it was used last
        found = run(model, data=data, plan=plan, scheduler=own, folder=folder, on_step=note)
        state = {name: tensor.cpu() for name, tensor in model.state_dict().items()}
    return Trained(state, losses, {stage.is_recorded for stage in found.stages})


@pytest.mark.parametrize(
    ("variant", "precision"),
    [
        ("baseline", Precision.FLOAT32),
        ("sonic", Precision.FLOAT16),
        ("cutting_edge", Precision.BFLOAT16),
    ],
)
def test_a_recorded_training_is_the_plain_one(
    variant: str,
    precision: Precision,
    make_plan: Callable[..., TrainingPlan],
    scheduler: Any,
    tmp_path: Path,
    one_thread: None,
) -> None:
    """Catches: what Python knew at the recording, played again as if it were still so: a learning
    rate, the mask of a dropout, a batch; or an update that was made while recording."""
    plan = make_plan(steps=(6, 6, 5), accumulation=1)
    plan = replace(
        plan,
        precision=precision,
        validate_every=99,
        checkpoint_every=99,
        deterministic=False,  # a CPU in half precision may round by where tensors lie
    )
    recorded, plain = (
        trained(
            variant,
            plan=plan,
            scheduler=scheduler,
            folder=tmp_path / str(has_graphs),
            has_graphs=has_graphs,
        )
        for has_graphs in (True, False)
    )
    assert (recorded.is_recorded, plain.is_recorded) == ({True}, {False})
    assert recorded.losses == pytest.approx(plain.losses, rel=1e-5)
    assert recorded.state.keys() == plain.state.keys()
    for name, tensor in plain.state.items():
        assert torch.allclose(recorded.state[name], tensor, rtol=1e-4, atol=1e-6), name
