"""The loop on variants that have nothing to train in a stage: the controls."""

import torch
from diffusers import DDPMScheduler

from core.conditioning.adapters import attach_unet_adapter
from core.conditioning.attached import AttachedVariant
from core.conditioning.variant import Variant
from core.randomness import torch_seeded
from core.training.checkpoints import CheckpointFolder
from core.training.guards import Probe
from core.training.loop import train
from core.training.objective import TrainingData
from core.training.plan import TrainingPlan
from core.training.preflight import preflight
from core.training.results import NOTHING_TO_TRAIN, StepReport
from harness.testing import SmallFoundation
from variants.class_embedding import VARIANT as CLASS_EMBEDDING
from variants.text_only import VARIANT as TEXT_ONLY

FOUNDATION = SmallFoundation(
    channels=(16, 32), latent_size=4, context_dim=32, num_text_tokens=5, clap_pooled_dim=16
)


def attached(cls: type[Variant], **settings: object) -> AttachedVariant:
    unet = FOUNDATION.unet()
    with torch_seeded(0, "test", "init"):
        variant = cls(cls.Config(**settings), shapes=FOUNDATION.shapes(unet))
        return AttachedVariant(
            variant,
            unet=unet,
            attach_adapter=lambda u: attach_unet_adapter(u, kind=variant.unet_adapter, lora_rank=2),
        )


def trained(model, *, data, plan, scheduler, folder, on_step=lambda report: None):
    return train(
        model,
        data=data,
        plan=plan,
        scheduler=scheduler,
        latent_shape=FOUNDATION.latent_shape,
        seed=0,
        checkpoints=CheckpointFolder(folder),
        on_step=on_step,
    )


def test_text_only_trains_lora_alone_and_says_which_stages_it_leaves_out(
    data: TrainingData, plan: TrainingPlan, scheduler: DDPMScheduler, tmp_path
) -> None:
    """Catches: a control that crashes without gates, or trains nothing and does not say so."""
    model = attached(TEXT_ONLY)
    before = model.state_dict()
    reports: list[StepReport] = []
    result = trained(
        model, data=data, plan=plan, scheduler=scheduler, folder=tmp_path, on_step=reports.append
    )
    assert [(s.stage, s.steps_planned, s.steps_done) for s in result.stages] == [
        ("stage1", 4, 0),
        ("stage2", 5, 5),
        ("stage3", 3, 0),
    ]
    assert [s.stopped_by for s in result.stages] == [NOTHING_TO_TRAIN, "steps", NOTHING_TO_TRAIN]
    assert {report.stage for report in reports} == {"stage2"}
    # The same global steps as a branch's stage 2, so the same clips in the same order.
    assert [report.global_step for report in reports] == [5, 6, 7, 8, 9]
    after = model.state_dict()
    assert all(name.startswith("unet_adapter.") for name in after)
    assert not any(torch.equal(after[name], before[name]) for name in after)


def test_a_stage_that_was_left_out_is_not_run_again_on_resume(
    data: TrainingData, plan: TrainingPlan, scheduler: DDPMScheduler, tmp_path
) -> None:
    """Catches: a resumed control with a stage twice, or another state than an unbroken one."""
    first = attached(TEXT_ONLY)
    once = trained(first, data=data, plan=plan, scheduler=scheduler, folder=tmp_path)
    second = attached(TEXT_ONLY)
    again = trained(second, data=data, plan=plan, scheduler=scheduler, folder=tmp_path)
    assert again.resumed_from == 9
    assert [s.stage for s in again.stages] == [s.stage for s in once.stages]
    ours, theirs = first.state_dict(), second.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_adapter_none_trains_nothing_anywhere(
    data: TrainingData, plan: TrainingPlan, scheduler: DDPMScheduler, tmp_path
) -> None:
    """Catches: an optimiser without parameters; the frozen model cannot be the floor then."""
    model = attached(TEXT_ONLY, adapt="none")
    result = trained(model, data=data, plan=plan, scheduler=scheduler, folder=tmp_path)
    assert {s.stopped_by for s in result.stages} == {NOTHING_TO_TRAIN}
    assert model.state_dict() == {}


def test_class_embedding_learns_in_every_stage_and_passes_the_preflight(
    data: TrainingData, plan: TrainingPlan, scheduler: DDPMScheduler, tmp_path
) -> None:
    """Catches: a control that the class index does not reach, or that no guard looks at."""
    model = attached(CLASS_EMBEDDING, num_tokens=2)
    model.detach()
    inputs = FOUNDATION.inputs(())
    probe = Probe.take(model.unet, inputs, latent_shape=FOUNDATION.latent_shape)
    model = attached(CLASS_EMBEDDING, num_tokens=2)
    passed = preflight(model, probe)
    assert passed == [
        "batch_equals_singles",
        "clips_apart_in_training",
        "silent_identity",
        "adapter_identity",
        "answer_is_the_unets",
    ]
    before = model.state_dict()
    result = trained(model, data=data, plan=plan, scheduler=scheduler, folder=tmp_path)
    assert [s.steps_done for s in result.stages] == [4, 5, 3]
    after = model.state_dict()
    assert not torch.equal(after["variant.table_KNC"], before["variant.table_KNC"])
    assert result.stages[2].trainable_parameters == 1
