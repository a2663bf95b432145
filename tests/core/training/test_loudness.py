"""Defect (i) seen in real training code: what takes the loudness of a clip away before it is heard.

The features of these tests are vectors of 16 numbers; a quieter sound lowers each by the same.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from core.conditioning.adapters import attach_unet_adapter
from core.conditioning.attached import AttachedVariant
from core.conditioning.conditioning import AudioFeature, ConditioningInputs
from core.conditioning.shapes import FoundationShapes
from core.errors import GuardError
from core.randomness import torch_seeded
from core.training.loudness import check_loudness_heard, loudness_share
from core.training.objective import TrainingData
from core.training.preflight import preflight
from harness.run.findings import variant_notices
from tests.core.training.conftest import FOUNDATION
from tests.core.training.test_named_defects import probe as probe
from tests.harness.testing.sound_branch import Sound

LOG_MEL = frozenset({AudioFeature.LOG_MEL})
Level = Callable[[Tensor], Tensor]


class Listens(Sound):
    """Reads the log-mel as `level` leaves it."""

    level: Level = staticmethod(lambda log_mel_BD: log_mel_BD)
    in_training_alone = False

    def __init__(self, config: Any, *, shapes: FoundationShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.project = nn.Linear(16, config.num_tokens * shapes.context_dim)

    @property
    def audio_features(self) -> frozenset[AudioFeature]:
        return LOG_MEL

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        heard_BD = inputs.audio[AudioFeature.LOG_MEL]
        if self.training or not self.in_training_alone:
            heard_BD = type(self).level(heard_BD)
        return self.project(self.dropout(heard_BD)).unflatten(-1, (-1, self.shapes.context_dim))


def listening(level: Level | None = None, **declared: Any) -> AttachedVariant:
    words = declared if level is None else {"level": staticmethod(level), **declared}
    unet = FOUNDATION.unet()
    with torch_seeded(0, "test", "init"):
        variant = type("Made", (Listens,), words)(Listens.Config(), shapes=FOUNDATION.shapes(unet))
        return AttachedVariant(
            variant,
            unet=unet,
            attach_adapter=lambda u: attach_unet_adapter(
                u, kind=variant.unet_adapter, lora_rank=2, lora_dropout=0.1
            ),
        )


@pytest.fixture
def data(data: TrainingData) -> TrainingData:
    return replace(data, audio_features=LOG_MEL)


def by_peak(log_mel_BD: Tensor) -> Tensor:
    return log_mel_BD - log_mel_BD.amax(dim=1, keepdim=True)


def to_one_deviation(log_mel_BD: Tensor) -> Tensor:
    centred_BD = log_mel_BD - log_mel_BD.mean(dim=1, keepdim=True)
    return centred_BD / (log_mel_BD.std(dim=1, keepdim=True) + 1e-5)


def by_layer_norm(log_mel_BD: Tensor) -> Tensor:
    return functional.layer_norm(log_mel_BD, (16,))


def by_cut_scale(log_mel_BD: Tensor) -> Tensor:
    """Between the clip's own lowest and highest value, as a picture of a spectrogram is made."""
    low, high = log_mel_BD.amin(dim=1, keepdim=True), log_mel_BD.amax(dim=1, keepdim=True)
    return (log_mel_BD - low) / (high - low)


LEVELS = [by_peak, to_one_deviation, by_layer_norm, by_cut_scale]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("in_training_alone", [False, True], ids=["always", "in training"])
def test_what_takes_the_loudness_away_is_refused_before_the_first_step(
    probe: Any, level: Level, in_training_alone: bool
) -> None:
    """Catches: a branch that cannot hear how loud a sound is, trained to the end."""
    model = listening(level, in_training_alone=in_training_alone)
    with pytest.raises(GuardError, match="takes the loudness away"):
        preflight(model, probe)
    assert not model.variant.training


def test_a_variant_that_hears_loudness_passes(probe: Any) -> None:
    """Catches: a check that refuses standardising by the numbers of a data set, or a bounded layer.

    Behind tanh a quieter sound changes less, and is heard.
    """
    for level in (None, lambda x: (x + 4.3) / 4.6, torch.tanh, lambda x: x.clamp(min=-1.5)):
        model = listening(level)
        assert "loudness_heard" in preflight(model, probe)
        share = loudness_share(model, probe.inputs)
        assert share is not None
        assert share > 0.3


def test_who_means_not_to_hear_it_says_so(probe: Any) -> None:
    """Catches: a guard without a way out for a branch that is made to ignore the gain."""
    model = listening(by_peak, hears_loudness=False)
    assert "loudness_heard" not in preflight(model, probe)
    assert [
        "declares hears_loudness = False" in notice for notice in variant_notices(model.variant)
    ] == [True]
    assert variant_notices(listening().variant) == []


def shut(inputs: ConditioningInputs, level: Level | None = None) -> AttachedVariant:
    """Behind a projection that starts at zero."""
    model = listening(level)
    nn.init.zeros_(model.variant.project.weight)
    assert not check_loudness_heard(model, inputs)
    return model


def test_a_projection_that_starts_at_zero_is_judged_when_it_has_moved(
    trained: Any, inputs: ConditioningInputs
) -> None:
    """Catches: a defect that hides until tokens depend on the sound at all."""
    with pytest.raises(GuardError, match="takes the loudness away"):
        trained(shut(inputs, by_peak))


def test_a_sound_projection_that_starts_at_zero_trains(
    trained: Any, inputs: ConditioningInputs
) -> None:
    """Catches: a judgement of tokens that depend on nothing yet."""
    model = shut(inputs)
    trained(model)
    assert check_loudness_heard(model, inputs)


def test_without_a_log_mel_there_is_nothing_to_judge(
    model: AttachedVariant, inputs: ConditioningInputs
) -> None:
    """Catches: a branch on CLAP alone that is refused, or said to have passed."""
    pooled = replace(inputs, audio={AudioFeature.CLAP_POOLED: inputs.audio[AudioFeature.LOG_MEL]})
    assert not check_loudness_heard(model, pooled)
