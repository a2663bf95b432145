"""The pieces of the build: captions as codes, tokenizers, losses, the loop, the judges' ears."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from core.embedded.corpus.classes import ATTRIBUTES, CLASSES, Attributes
from core.embedded.corpus.sound import synthesise_clip
from core.embedded.recipes.bpe import clip_tokenizer, learn_merges, roberta_tokenizer
from core.embedded.recipes.contrast import contrastive_loss, ridge_error, zero_shot_accuracy
from core.embedded.recipes.diffusion import (
    Probes,
    inverse_error,
    min_snr,
    new_unet,
)
from core.embedded.recipes.judges import agreement_loss, audio_config, image_config
from core.embedded.recipes.loop import Average, Recipe, rate_share, train
from core.embedded.recipes.mamba import MaskedPatches, hidden_places
from core.embedded.recipes.mamba import config as mamba_config
from core.embedded.recipes.words import HEARD, SEEN, UNNAMED, is_true, thin
from core.foundation.judge import Judge, mel_filters, prepare_images, prepare_sounds
from core.foundation.mamba.encoder import MambaAudioEncoder
from core.randomness import rng, torch_seeded


def test_a_caption_is_true_of_exactly_what_it_names() -> None:
    """Catches: contrastive targets that punish a true caption or reward a false one."""
    samples = np.array([[1, 0, 2, 2, 2], [1, 3, 2, 2, 2], [2, 0, 2, 2, 2]])
    captions = np.array([[1, -1, -1, -1, -1], [1, 3, -1, -1, -1], [-1, -1, -1, -1, -1]])
    expected = [[True, True, False], [False, True, False], [True, True, True]]
    assert is_true(captions, samples).tolist() == expected


def test_captions_of_sounds_never_name_their_timing() -> None:
    """Catches: CLAP taught the one attribute that real captions leave out."""
    codes = HEARD.codes(np.arange(8), rng(0, "test").random((8, 4)))
    assert (codes[:, 1 + ATTRIBUTES.index("onset")] == 0).all() or HEARD.levels[3] == ()
    text = " ".join(HEARD.texts())
    assert not any(word in text for word in ("left", "right", "early", "late"))
    assert all(len(HEARD.text(code).split(", ")) <= 4 for code in codes)


def test_thinned_captions_keep_the_asked_shares() -> None:
    """Catches: a painter that never sees the empty caption, so that guidance means nothing."""
    codes = SEEN.codes(np.zeros(4_000, dtype=np.int64), rng(0, "test").random((4_000, 4)))
    thinned = thin(codes, rng(0, "thin"), empty_share=0.1, class_only_share=0.35)
    assert np.mean(thinned[:, 0] == UNNAMED) == pytest.approx(0.1, abs=0.02)
    named = (thinned[:, 1:] != UNNAMED).sum(axis=1)
    assert np.mean(named[thinned[:, 0] != UNNAMED] == 0) == pytest.approx(
        (0.35 + 0.55 / 16) / 0.9, abs=0.03
    )
    assert SEEN.text(np.full(5, UNNAMED)) == ""


@pytest.mark.parametrize("make", [clip_tokenizer, roberta_tokenizer])
def test_tokenizers_know_every_word_and_encode_any_text(make: type) -> None:
    """Catches: an attribute word split into letters, and text that becomes 'unknown'."""
    tokenizer = make()
    longest = SEEN.text(np.array([CLASSES.index("dog_barking"), 0, 0, 0, 0]))
    assert len(tokenizer(longest).input_ids) <= 24
    assert len(tokenizer("A scene with fire sound").input_ids) == 7
    strange = "Zürich 日本 \t 🙂 {x}"
    ids = tokenizer(strange).input_ids
    if tokenizer.unk_token_id != tokenizer.eos_token_id:
        assert tokenizer.unk_token_id not in ids
    # The last id closes the text; none before it stands for something unknown.
    assert tokenizer.eos_token_id not in ids[1:-1]


def test_merges_leave_each_word_one_symbol() -> None:
    """Catches: merges in an order that another word's merge breaks."""
    words = [tuple("abab"), tuple("abc"), tuple("bca")]
    merges = learn_merges(words)
    assert merges == learn_merges(reversed(words))
    assert {"abab", "abc", "bca"} <= {a + b for a, b in merges}


def test_contrastive_loss_equals_cross_entropy_when_each_caption_has_one_sample() -> None:
    """Catches: targets summed instead of averaged, or a softmax over the wrong axis."""
    text, sample = torch.randn(5, 8), torch.randn(5, 8)
    scale = torch.tensor(1.3)
    logits = scale.exp() * nn.functional.normalize(text, dim=1)
    logits = logits @ nn.functional.normalize(sample, dim=1).T
    own = torch.arange(5)
    expected = (nn.functional.cross_entropy(logits, own)) / 2
    expected = expected + nn.functional.cross_entropy(logits.T, own) / 2
    torch.testing.assert_close(contrastive_loss(text, sample, scale, torch.eye(5) > 0), expected)
    everything = contrastive_loss(text[:1], sample, scale, torch.ones(1, 5) > 0)
    assert math.isfinite(everything.item())


def test_agreement_loss_is_least_when_each_row_meets_its_own() -> None:
    """Catches: pairs matched off the diagonal."""
    vectors = torch.eye(4)
    assert agreement_loss(vectors, vectors) < agreement_loss(vectors, vectors.roll(1, 0))


def test_read_out_error_tells_carried_from_absent() -> None:
    """Catches: a linear read-out scored on the half that fitted it."""
    draw = rng(0, "test")
    target = draw.random(400)
    carried = torch.from_numpy(np.stack([target, draw.random(400)], axis=1))
    assert ridge_error(carried, target) < 0.05
    assert ridge_error(torch.from_numpy(draw.standard_normal((400, 64))), target) > 0.2
    nearest = torch.eye(3)
    assert zero_shot_accuracy(nearest, nearest, np.array([0, 1, 0])) == pytest.approx(2 / 3)


def test_the_rate_warms_up_and_decays_to_its_last_share() -> None:
    """Catches: a decay that ends early, late or at zero."""
    recipe = Recipe(steps=100, batch_size=1, learning_rate=1.0, warmup_share=0.1, final_share=0.02)
    shares = [rate_share(step, recipe) for step in range(100)]
    assert shares[0] == pytest.approx(0.1)
    assert max(shares) == shares[10] == pytest.approx(1.0)
    assert shares[-1] == pytest.approx(0.02, abs=0.01)
    stopped = Recipe(steps=50, batch_size=1, learning_rate=1.0, warmup_share=0.1, horizon=2.0)
    assert [rate_share(step, stopped) for step in range(50)] == pytest.approx(shares[:50])


def test_training_ends_with_the_averaged_weights() -> None:
    """Catches: shipping the last noisy step instead of the average."""
    weight = nn.Linear(1, 1, bias=False)
    seen = []

    def loss_at(step: int) -> torch.Tensor:
        seen.append(weight.weight.item())
        return (weight.weight - 3.0).square().sum()

    recipe = Recipe(steps=30, batch_size=1, learning_rate=0.1, weight_decay=0.0, ema_decay=0.9)
    train([weight], loss_at, recipe, name="test")
    assert min(seen) < weight.weight.item() < max(seen)
    with pytest.raises(FloatingPointError, match="loss is nan at step 0"):
        train([weight], lambda step: weight.weight.sum() * math.nan, recipe, name="test")


def test_the_average_is_put_back() -> None:
    """Catches: a snapshot that leaves the averaged weights in the model being trained."""
    weight = nn.Parameter(torch.zeros(3))
    average = Average([weight], decay=0.5)
    with torch.no_grad():
        weight.fill_(1.0)
    average.update()
    with average.in_place():
        inside = weight.detach().clone()
    assert (inside > 0).all()
    assert (inside < 1.0).all() or (inside == 0.9).all()
    torch.testing.assert_close(weight.detach(), torch.ones(3))


def test_a_judge_answers_in_its_promised_form() -> None:
    """Catches: attributes outside [0, 1], unnormalised embeddings, a size that does not fit."""
    for config in (image_config(), audio_config()):
        judge = Judge(config).eval()
        answer = judge(torch.rand(2, config.num_channels, *config.input_size))
        assert answer.class_logits.shape == (2, 8)
        assert answer.attributes.shape == (2, 4)
        assert ((answer.attributes > 0) & (answer.attributes < 1)).all()
        assert answer.features.shape == (2, config.feature_dim)
        torch.testing.assert_close(answer.embedding.norm(dim=1), torch.ones(2))


def test_judges_hear_loudness_and_take_any_length() -> None:
    """Catches: a spectrogram normalised by clip, which would hide intensity."""
    config = audio_config()
    clip = synthesise_clip(
        "siren", Attributes(pitch=0.5, intensity=0.5, hiss=0.5, onset=0.5), rng(0, "test")
    )[None]
    whole = prepare_sounds(clip, config)
    assert whole.shape == (1, 1, config.num_mel_bins, config.input_size[1])
    loud = whole > -40.0
    ten_db = prepare_sounds(clip * 10**0.5, config) - whole
    torch.testing.assert_close(ten_db[loud], torch.full_like(ten_db[loud], 10.0), atol=0.01, rtol=0)
    assert prepare_sounds(clip[:, :48_000], config).shape == whole.shape
    assert prepare_sounds(np.concatenate([clip, clip], axis=1), config).shape == whole.shape
    with pytest.raises(ValueError, match=r"expected \[B, samples\]"):
        prepare_sounds(clip[0], config)


def test_judges_see_pictures_of_any_size_and_refuse_floats() -> None:
    """Catches: 512 px pictures judged at their corner, and pixels already scaled."""
    config = image_config()
    big = np.full((1, 512, 512, 3), 128, dtype=np.uint8)
    pixels = prepare_images(big, config)
    assert pixels.shape == (1, 3, 64, 64)
    torch.testing.assert_close(pixels, torch.full_like(pixels, 128 / 255))
    with pytest.raises(ValueError, match="expected uint8"):
        prepare_images(big.astype(np.float32), config)


def test_every_mel_band_hears_and_a_tone_falls_into_its_own() -> None:
    """Catches: empty bands at the low end, and a scale shifted by a band."""
    filters = mel_filters(
        64, fft_size=2_048, sample_rate_hz=48_000, lowest_hz=40.0, highest_hz=20_000.0
    )
    assert filters.shape == (64, 1_025)
    np.testing.assert_allclose(filters.sum(axis=1), 1.0, rtol=1e-5)
    tone_bin = round(1_000 / (24_000 / 1_024))
    mel = 2595 * np.log10(1 + np.array([40.0, 1_000.0, 20_000.0]) / 700)
    expected = (mel[1] - mel[0]) / (mel[2] - mel[0]) * 65 - 1
    assert abs(int(filters[:, tone_bin].argmax()) - expected) < 1


def test_probes_leave_the_unet_as_it_was() -> None:
    """Catches: hooks or heads of the training that stay in the shipped painter."""
    unet = new_unet(0).eval()
    names = set(unet.state_dict())
    given = (torch.randn(2, 4, 8, 8), torch.tensor([10, 900]), torch.randn(2, 24, 128))
    with torch.no_grad():
        before = unet(*given).sample
        probes = Probes(unet, 0)
        inside = unet(*given).sample
        named = np.array([[0, 1, 2, 3, 4], [1, -1, -1, -1, -1]])
        assert 0.0 < probes.loss(given[2], named).item() < 10.0
        probes.remove()
        unet(*given)
    torch.testing.assert_close(inside, before, atol=0.0, rtol=0.0)
    assert set(unet.state_dict()) == names
    with pytest.raises(KeyError):
        probes.loss(given[2], named)


def test_later_stages_weigh_noise_more() -> None:
    """Catches: weights upside down, which would spend the training on the last detail."""
    snr = torch.tensor([0.01, 1.0, 100.0])
    torch.testing.assert_close(min_snr(snr), torch.tensor([1.0, 1.0, 0.05]))
    weights = inverse_error(snr)
    torch.testing.assert_close(weights.mean(), torch.tensor(1.0))
    torch.testing.assert_close(weights / weights[1], torch.tensor([10.0, 1.0, 0.1]))


def test_hidden_patches_are_half_of_each_clip_and_no_place_comes_twice() -> None:
    """Catches: a mask drawn with replacement, or the same for every clip."""
    places_BK = hidden_places(rng(0, "test", "mask"), batch=64, num_patches=32)
    assert places_BK.shape == (64, 16)
    assert (places_BK.diff(dim=1) > 0).all()
    assert len(torch.unique(places_BK, dim=0)) > 60
    counts = torch.bincount(places_BK.flatten(), minlength=32)
    assert counts.min() > 0


def test_masked_patches_cannot_be_read_through_the_mask() -> None:
    """Catches: a hidden patch whose own values reach the token that has to guess them."""
    with torch_seeded(0, "test", "mamba"):
        model = MaskedPatches(MambaAudioEncoder(mamba_config())).eval()
        log_mel_BMT = torch.randn(2, 64, 128)
    tokens: list[torch.Tensor] = []
    model.draw.register_forward_pre_hook(lambda _, given: tokens.append(given[0]))
    places_BK = torch.tensor([[3, 7], [0, 31]])
    model(log_mel_BMT, places_BK)
    changed = log_mel_BMT.clone()
    changed[0, :, 12:16] += 1.0  # patch 3 of the first clip, hidden
    model(changed, places_BK)
    assert torch.equal(tokens[0], tokens[1])
    changed[0, :, 16:20] += 1.0  # patch 4, seen
    model(changed, places_BK)
    assert not torch.equal(tokens[1][0], tokens[2][0])
    assert torch.equal(tokens[1][1], tokens[2][1])


def test_telling_is_certain_where_each_guess_is_its_own_patch() -> None:
    """Catches: targets in another order than the guesses."""
    with torch_seeded(0, "test", "mamba"):
        model = MaskedPatches(MambaAudioEncoder(mamba_config())).eval()
        log_mel_BMT = 4 * torch.randn(2, 64, 128)
    places_BK = torch.tensor([[3, 7, 20], [0, 15, 31]])
    true_BKP = torch.stack(
        [
            torch.stack([clip[:, 4 * k : 4 * k + 4].flatten() for k in places])
            for clip, places in zip(log_mel_BMT, places_BK.tolist(), strict=True)
        ]
    )
    model.tell.register_forward_hook(lambda *_: true_BKP)
    model.draw.register_forward_hook(lambda *_: true_BKP)
    telling, drawing = model(log_mel_BMT, places_BK)
    assert telling < 1e-3
    assert drawing == 0
