"""Every promise of a variant, and what is this branch's own, on small models in seconds."""

from typing import ClassVar

import torch
from torch.nn import functional

from audio_token import VARIANT
from audio_token.config import AudioTokenConfig
from audio_token.variant import Embedder
from harness.testing import SmallFoundation, VariantContract

SMALL = SmallFoundation()


class TestAudioToken(VariantContract):
    """A check that fails says what broke."""

    variant = VARIANT
    config: ClassVar = {"hidden_dim": 32}


def built(**settings):
    torch.manual_seed(0)
    config = AudioTokenConfig(hidden_dim=16, **settings)
    variant = VARIANT(config, shapes=SMALL.shapes(SMALL.unet())).eval()
    return variant, SMALL.inputs(variant.audio_features)


def test_the_token_is_read_as_one_more_word() -> None:
    """Catches: a gate or a weight on the token, or keys and values of its own."""
    variant, inputs = built()
    unet = SMALL.unet()
    conditioning = variant.condition(inputs)
    assert conditioning.audio_BNC.shape == (4, 1, SMALL.context_dim)
    context = conditioning.context()
    expected = SMALL.predict(unet, context)  # the plain UNet takes every token for text
    variant.attach(unet)
    torch.testing.assert_close(SMALL.predict(unet, context), expected, atol=1e-5, rtol=1e-4)


def test_pooling_weighs_moments_and_sums_to_one() -> None:
    """Catches: a mean over time in place of attention, or a softmax over another axis."""
    embedder = Embedder(width=5, hidden_dim=8, context_dim=6)
    one = torch.randn(2, 1, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(embedder(one.expand(2, 7, 5)), embedder(one))
    both = torch.cat([one, torch.randn(2, 1, 5, generator=torch.Generator().manual_seed(1))], 1)
    with torch.no_grad():
        embedder.score.weight.mul_(1_000)
    moments = embedder.moments(both)
    nearest = (embedder(both)[:, None] - moments).detach().abs().amax(dim=-1).amin(dim=1)
    assert float(nearest.max()) < 1e-3


def test_losses_are_the_papers_by_hand() -> None:
    """Catches: a cosine of another clip's caption, a sign, or a weight that nothing reads."""
    variant, inputs = built(cosine_weight=0.5, length_weight=0.25)
    conditioning = variant.condition(inputs)
    token = conditioning.audio_BNC[:, 0]
    found = variant.auxiliary_losses(inputs, conditioning, stage="stage1")
    cosine = torch.stack(
        [
            functional.cosine_similarity(t, c.mean(0), dim=0)
            for t, c in zip(token, inputs.text_BLC, strict=True)
        ]
    )
    torch.testing.assert_close(found["cosine"], 0.5 * (1 - cosine.mean()) ** 2)
    torch.testing.assert_close(found["length"], 0.25 * token.pow(2).mean())
    silent, _ = built(cosine_weight=0, length_weight=0)
    assert silent.auxiliary_losses(inputs, conditioning, stage="stage1") == {}
