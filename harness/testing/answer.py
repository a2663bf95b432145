"""What a run trains and what it hears: the UNet's own answer, each clip apart, and its loudness."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from torch import Tensor

from core.choices import Precision
from core.conditioning.attached import AttachedVariant
from core.conditioning.conditioning import AudioFeature
from core.errors import GuardError
from core.features.log_mel_settings import LogMelSettings
from core.training.answer import check_answer_is_the_unets
from core.training.apart import check_clips_apart_in_training
from core.training.guards import Probe, check_batch_equals_singles
from harness.testing.bench import HEARD, Bench, difference, require, stir, stirred

_QUIETER = 0.1
"""Amplitude."""


class AnswerChecks(Bench):
    """Checks that a run's own guards make on real clips, here on small ones."""

    def test_the_answer_is_the_unets(self) -> None:
        """The UNet gets the latents and timesteps that were made, and its last layer answers."""
        self._require(check_answer_is_the_unets)

    def test_clips_are_apart_in_training(self) -> None:
        """In training mode too, a clip's tokens and output do not change with its neighbours."""

        def check(model: AttachedVariant, probe: Probe) -> None:
            try:
                check_batch_equals_singles(model, probe.inputs)
            except GuardError:
                return  # it mixes them everywhere: of another check
            check_clips_apart_in_training(model, probe)

        self._require(check)

    def test_loudness_is_heard(self) -> None:
        """A tenth of the amplitude gives another output, unless `hears_loudness` is False."""
        unet = self.foundation.unet()
        variant = stirred(self.build(unet))
        inputs = self.inputs(variant)
        if AudioFeature.LOG_MEL not in inputs.audio:
            pytest.skip(f"'{variant.name}' reads no log-mel")
        log_mel_BMT = inputs.audio[AudioFeature.LOG_MEL]
        fallen = 2 * math.log(_QUIETER) / LogMelSettings().std
        variant.attach(unet)
        own = self.answer(unet, variant, inputs)

        def change(log_mel: Tensor) -> float:
            audio = {**inputs.audio, AudioFeature.LOG_MEL: log_mel}
            return difference(self.answer(unet, variant, replace(inputs, audio=audio)), own)

        changed = change(log_mel_BMT + fallen)
        if not variant.hears_loudness:
            require(
                changed <= HEARD,
                f"the variant says hears_loudness = False, and the same sounds at a tenth of their "
                f"amplitude change the output by {changed:.2g}; leave the line out",
            )
            return
        require(
            # One that does not read it at all is of another check.
            changed > HEARD or change(log_mel_BMT.roll(1, dims=0)) <= HEARD,
            f"the same sounds at a tenth of their amplitude change the output by only "
            f"{changed:.2g}: something takes the loudness away, as standardising each clip, or "
            "dividing it by its peak, does. Standardise by numbers of the whole data set, or say "
            "by hears_loudness = False that it is meant",
        )

    def _require(self, check: Callable[[AttachedVariant, Probe], None]) -> None:
        unet = self.foundation.unet()
        model = self.attached()
        stirred(model.variant)
        stir(model.adapter.named_parameters().values())
        inputs = self.inputs(model.variant)
        probe = Probe.take(
            unet, inputs, latent_shape=self.foundation.latent_shape, precision=Precision.FLOAT32
        )
        try:
            check(model, probe)
        except GuardError as error:
            raise AssertionError(str(error)) from error
