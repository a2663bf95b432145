"""What the UNet is given: identity, sound, nothing else."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from core.conditioning.conditioning import Conditioning
from harness.testing.bench import HEARD, ROUNDING, Bench, difference, require, rows_of, stirred


class ConditioningChecks(Bench):
    """Checks on tokens and on what they change."""

    def test_absent_audio_is_the_plain_unet(self) -> None:
        """A clip without sound gets the frozen UNet's own output, whatever was trained."""
        unet = self.foundation.unet()
        variant = stirred(self.build(unet))
        inputs = self.inputs(variant)
        plain = self.predict(unet, inputs.text_BLC)
        variant.attach(unet)
        with torch.no_grad():
            conditioning = variant.condition(inputs)
        require(
            torch.equal(self.predict(unet, inputs.text_BLC), plain),
            "a context of text alone must give the plain UNet's output bit by bit: an attached "
            "variant has to leave it to the processor that was there before",
        )
        for which, drop_B in {
            "every clip": torch.ones(len(inputs), dtype=torch.bool),
            "every other clip": torch.arange(len(inputs)) % 2 == 0,
        }.items():
            heard = self.predict(unet, conditioning.with_audio_dropped(drop_B).context())
            changed = difference(heard[drop_B], plain[drop_B])
            require(
                changed <= ROUNDING,
                f"with the sound of {which} dropped, the silent clips' output differs from the "
                f"plain UNet's by {changed:.2g}: absent tokens (zeros) must get no weight, also "
                "after training, so the layers that read them take no bias",
            )

    def test_fresh_variant_is_the_identity_exactly_where_it_says(self) -> None:
        """`is_identity_at_init` tells whether sound changes the output before any training."""
        unet = self.foundation.unet()
        variant = self.build(unet)
        inputs = self.inputs(variant)
        plain = self.predict(unet, inputs.text_BLC)
        variant.attach(unet)
        fresh = self.answer(unet, variant, inputs)
        changed = difference(fresh, plain)
        if variant.is_identity_at_init:
            require(
                changed <= ROUNDING,
                f"the variant says that it starts as the identity, but fresh it changes the UNet's "
                f"output by {changed:.2g}: a gate is open, or a layer is not behind it",
            )
        else:
            least = min(difference(fresh[row], plain[row]) for row in range(len(inputs)))
            require(
                least > HEARD,
                f"the fresh variant changes the UNet's output by {least:.2g} only: its tokens "
                "reach no layer, or its gates start shut, which `is_identity_at_init` has to say",
            )

    def test_batch_equals_singles(self) -> None:
        """A clip gets the same tokens and the same output alone as in a batch."""
        unet = self.foundation.unet()
        variant = stirred(self.build(unet))
        inputs = self.inputs(variant)
        variant.attach(unet)
        together = self.answer(unet, variant, inputs)
        for row in range(len(inputs)):
            alone = self.answer(unet, variant, rows_of(inputs, [row]), first_row=row)
            changed = difference(alone[0], together[row])
            require(
                changed <= 10 * ROUNDING,
                f"clip {row} alone gives another output than in a batch of {len(inputs)} "
                f"(difference {changed:.2g}): something mixes clips, as a batch statistic does",
            )

    def test_every_feature_it_asks_for_is_heard(self) -> None:
        """Another clip's sound gives another picture, through each feature by itself."""
        unet = self.foundation.unet()
        variant = stirred(self.build(unet))
        inputs = self.inputs(variant)
        changes = {
            f"another clip's {feature}": replace(
                inputs, audio={**inputs.audio, feature: values.roll(1, dims=0)}
            )
            for feature, values in inputs.audio.items()
        }
        if variant.reads_class:
            classes = (inputs.class_index_B + 1) % self.foundation.num_classes
            changes["another class"] = replace(inputs, class_index_B=classes)
        if not changes:
            pytest.skip(f"'{variant.name}' asks for no audio feature")
        variant.attach(unet)
        own = self.answer(unet, variant, inputs)
        for what, changed in changes.items():
            other = self.answer(unet, variant, changed)
            least = min(difference(other[row], own[row]) for row in range(len(inputs)))
            require(
                least > HEARD,
                f"{what} changes the output by only {least:.2g}: the variant asks for it and does "
                "not use it",
            )

    def test_tokens_depend_on_nothing_undeclared(self) -> None:
        """Tokens never depend on the caption, and on the class only where `reads_class` says so."""
        unet = self.foundation.unet()
        variant = stirred(self.build(unet))
        inputs = self.inputs(variant)
        with torch.no_grad():
            own = variant.audio_tokens(inputs)
            captions = replace(inputs, text_BLC=inputs.text_BLC.roll(1, dims=0) + 1)
            other_caption = variant.audio_tokens(captions)
            classes = (inputs.class_index_B + 1) % self.foundation.num_classes
            other_class = variant.audio_tokens(replace(inputs, class_index_B=classes))
        if own is None:
            require(
                not variant.audio_features and not variant.reads_class,
                "audio_tokens is None, yet the variant declares audio features or `reads_class`",
            )
            return
        require(
            bool(variant.audio_features) or variant.reads_class,
            "the variant gives tokens, yet declares no audio feature and no `reads_class`: they "
            "would be the same for every clip",
        )
        require(
            other_caption is not None and torch.equal(other_caption, own),
            "the audio tokens change with the caption: dropping the text, which guidance by text "
            "rests on, would not drop it from them",
        )
        if variant.reads_class:
            require(
                other_class is not None and not torch.equal(other_class, own),
                "`reads_class` is declared, but another class gives the same tokens",
            )
        else:
            require(
                other_class is not None and torch.equal(other_class, own),
                "the audio tokens change with the class index: the variant is given the answer "
                "that it should take from the sound; a control that does so declares `reads_class`",
            )

    def test_training_and_sampling_see_the_same_conditioning(self) -> None:
        """Dropout aside, tokens and output are the same in training mode and in eval mode."""
        unet = self.foundation.unet()
        variant = stirred(self.build(unet))
        inputs = self.inputs(variant)
        variant.attach(unet)
        with _without_dropout(), torch.no_grad():
            sampling, repeated = (variant.condition(inputs) for _ in range(2))
            answer = self.predict(unet, sampling.context())
            variant.train()
            unet.train()
            training = variant.condition(inputs)
            trained_answer = self.predict(unet, training.context())
            variant.eval()
        require(
            torch.equal(sampling.context(), repeated.context()),
            "two calls of `condition` for the same clips differ in eval mode: a sample could not "
            "be repeated",
        )
        for what, one, other in (
            ("text", training.text_BLC, sampling.text_BLC),
            ("audio tokens", _tokens(training), _tokens(sampling)),
            ("context", training.context(), sampling.context()),
            ("output", trained_answer, answer),
        ):
            require(
                one.shape == other.shape and difference(one, other) <= ROUNDING,
                f"the {what} differs between training mode and eval mode with dropout off: the "
                "UNet would be trained on another conditioning than it is sampled with",
            )


def _tokens(conditioning: Conditioning) -> Tensor:
    return conditioning.context() if conditioning.audio_BNC is None else conditioning.audio_BNC


@contextmanager
def _without_dropout() -> Iterator[None]:
    """Dropout modules and `functional.dropout` let everything through."""

    def through(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return input

    names = [n for n in dir(functional) if "dropout" in n and not n.startswith("_")]
    with ExitStack() as patches:
        for name in names:
            patches.enter_context(mock.patch.object(functional, name, through))
        yield
