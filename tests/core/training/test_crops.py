"""Which crop of a long clip a step trains on."""

from collections import Counter
from dataclasses import replace

import numpy as np
import torch

from core.conditioning.conditioning import AudioFeature
from core.training.checkpoints import CheckpointFolder
from core.training.loop import train
from core.training.objective import draw_step


def step_draws(*, step, seed=0, slots=6):
    return draw_step(
        seed=seed,
        stage="stage1",
        step=step,
        slots=slots,
        latent_shape=(1, 2, 2),
        num_timesteps=10,
        text_dropout=0.1,
        audio_dropout=0.1,
        horizontal_flip=False,
    )


def test_a_step_names_its_crops_by_seed_stage_step_and_slot():
    """Catches: crops that differ between branches or after a resume, or always the same one."""
    assert np.array_equal(step_draws(step=3).crops, step_draws(step=3).crops)
    assert not np.array_equal(step_draws(step=3).crops, step_draws(step=4).crops)
    assert not np.array_equal(step_draws(step=3).crops, step_draws(step=3, seed=1).crops)
    chosen = Counter(int(u * 3) for step in range(200) for u in step_draws(step=step).crops)
    assert set(chosen) == {0, 1, 2}
    assert min(chosen.values()) > 300


def test_training_hears_the_crop_that_was_drawn(data):
    """Catches: crops that are cached and never trained on, or a short clip cut by one."""
    ids, features = data.train_ids[:6], data.features
    longer = replace(data, num_crops={"1": 2, "4": 3})
    draws = [0.9, 0.6, 0.9, 0.9, 0.99, 0.0]
    heard = longer.inputs(ids, crop_draws=draws).audio[AudioFeature.CLAP_POOLED]
    expected = features.audio(AudioFeature.CLAP_POOLED, ids, [0, 1, 0, 0, 2, 0])
    assert torch.equal(heard, expected)
    start = longer.inputs(ids).audio[AudioFeature.CLAP_POOLED]
    assert torch.equal(start, features.audio(AudioFeature.CLAP_POOLED, ids))
    assert not torch.equal(heard[1], start[1])


def test_the_loop_gives_each_slot_its_own_crop(make_model, data, make_plan, scheduler, tmp_path):
    """Catches: training on starts alone, or on another slot's crop when micro-batches change."""
    seen = {}
    for micro_batch, accumulation in ((4, 1), (2, 2)):
        heard = []

        class Listening(type(data.features)):
            def audio(self, feature, ids, crops=None, heard=heard):
                heard.extend(zip(ids, crops or [None] * len(ids), strict=True))
                return super().audio(feature, ids, crops)

        train(
            make_model(),
            data=replace(data, features=Listening(), num_crops=dict.fromkeys(data.train_ids, 3)),
            plan=make_plan(steps=(3, 0, 0), micro_batch=micro_batch, accumulation=accumulation),
            scheduler=scheduler,
            latent_shape=(4, 4, 4),
            seed=3,
            checkpoints=CheckpointFolder(tmp_path / str(micro_batch)),
        )
        seen[micro_batch] = [(i, crop) for i, crop in heard if i in data.train_ids]
        held_out = {crop for i, crop in heard if i in data.validation_ids}
        assert held_out == {None}
    assert seen[4] == seen[2]
    assert {crop for _, crop in seen[4]} == {0, 1, 2}
