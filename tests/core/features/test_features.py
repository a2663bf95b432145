"""Features of a split through small real encoders."""

import shutil

import numpy as np
import pytest
import soundfile
import torch
from diffusers import AutoencoderKL
from PIL import Image
from transformers import (
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    CLIPTextConfig,
    CLIPTextModel,
)

from core.conditioning.conditioning import AudioFeature
from core.data.cleaning.clean import build_manifest
from core.data.media.decode_audio import decode_audio
from core.data.splits.make import make_split
from core.errors import GuardError, MismatchError, UsageError
from core.features.features import prepare_features
from core.features.log_mel import LogMelSettings, log_mel
from core.foundation.foundation import AudioEmbedding

ALL = frozenset(AudioFeature) - {AudioFeature.MSCLAP_POOLED}  # exported, not computed here
MEL = LogMelSettings(num_mels=32, num_frames=60)


class SmallEncoders:
    """AutoencoderKL, CLIPTextModel and ClapModel of random weights; counts what they are given."""

    image_size = 16
    dtype = torch.float32

    def __init__(self):
        torch.manual_seed(0)
        self.vae = AutoencoderKL(
            block_out_channels=(8, 8),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            norm_num_groups=4,
        ).eval()
        self.text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=300, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                num_attention_heads=2, max_position_embeddings=12, eos_token_id=0,
            )
        ).eval()  # fmt: skip
        audio = {
            "patch_embeds_hidden_size": 8, "depths": [1, 1], "num_attention_heads": [2, 2],
            "hidden_size": 16, "num_hidden_layers": 2,
        }  # fmt: skip
        text = {
            "vocab_size": 99, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
            "num_attention_heads": 1,
        }  # fmt: skip
        config = ClapConfig(text_config=text, audio_config=audio, projection_dim=12)
        self.clap = ClapModel(config).eval()
        self.extractor = ClapFeatureExtractor(truncation="rand_trunc", padding="repeatpad")
        self.revisions = {"vae": "1", "text_encoder": "1", "clap": "1"}
        self.num_images = self.num_captions = self.num_sounds = 0
        self.seen = []

    def revision(self, part):
        return self.revisions[part]

    def encode_images(self, images):
        self.num_images += len(images)
        self.seen.append(images)
        posterior = self.vae.encode(images).latent_dist
        return posterior.mean, posterior.std

    def encode_text(self, captions):
        self.num_captions += len(captions)
        tokens = [[ord(letter) % 300 for letter in caption[:12].ljust(12)] for caption in captions]
        return self.text_encoder(torch.tensor(tokens))[0]

    def encode_audio(self, waveforms):
        self.num_sounds += len(waveforms)
        inputs = self.extractor(list(waveforms), sampling_rate=48_000, return_tensors="pt")
        output = self.clap.get_audio_features(**inputs)
        sequence = output.last_hidden_state.mean(dim=2).transpose(1, 2)
        return AudioEmbedding(pooled_BD=output.pooler_output, sequence_BTD=sequence)

    @property
    def calls(self):
        return self.num_images, self.num_captions, self.num_sounds


@pytest.fixture(scope="module")
def weights():
    return SmallEncoders()


@pytest.fixture
def encoders(weights):
    weights.num_images = weights.num_captions = weights.num_sounds = 0
    weights.seen = []
    weights.revisions = {"vae": "1", "text_encoder": "1", "clap": "1"}
    weights.dtype = torch.float32
    return weights


@pytest.fixture
def split(write_listed):
    return make_split(build_manifest(write_listed({"rain": 4, "fire": 3}), max_excluded_share=0))


@pytest.fixture
def prepare(split, encoders, tmp_path):
    def run(**changes):
        settings = {
            "foundation": encoders,
            "audio_features": ALL,
            "log_mel": MEL,
            "window_s": 0.5,
            "horizontal_flip": True,
            "cache_dir": tmp_path / "cache",
        } | changes
        return prepare_features(settings.pop("split", split), **settings)

    return run


def test_rows_equal_what_the_encoders_say(prepare, encoders, split):
    """Catches: a row under another id, scaled moments, or features of another window."""
    features = prepare()
    ids = [split.test[0], split.train[1], split.train[0]]
    with torch.no_grad():
        for k, id_ in enumerate(ids):
            sample = split.samples[id_]
            pixels = Image.open(split.root / sample.image_path).crop((4, 0, 36, 32))
            pixels = pixels.resize((16, 16), Image.Resampling.LANCZOS)
            image = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None] / 127.5 - 1
            mean, std = features.latent_moments(ids, [False] * 3)
            expected = encoders.encode_images(image)
            torch.testing.assert_close(mean[k], expected[0][0], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(std[k], expected[1][0], atol=1e-5, rtol=1e-4)
            mirrored, _ = features.latent_moments([id_], [True])
            expected = encoders.encode_images(image.flip(-1))
            torch.testing.assert_close(mirrored, expected[0], atol=1e-5, rtol=1e-4)
            waveform = decode_audio(split.root / sample.audio_path, window_s=0.5)
            embedding = encoders.encode_audio([waveform])
            for feature, row in (
                (AudioFeature.CLAP_POOLED, embedding.pooled_BD[0]),
                (AudioFeature.CLAP_SEQUENCE, embedding.sequence_BTD[0]),
            ):
                got = features.audio(feature, ids)[k]
                torch.testing.assert_close(got, row, atol=1e-5, rtol=1e-4)
            text = encoders.encode_text([sample.caption])[0]
            torch.testing.assert_close(features.text(ids)[k], text, atol=1e-5, rtol=1e-4)
    assert torch.equal(features.caption_text([""])[0], features.null_text)
    assert not torch.equal(features.null_text, features.text(ids)[0])


def test_log_mels_are_of_the_resampled_window(prepare, split):
    """Catches: a spectrogram of 48 kHz sound read as 16 kHz, or of the whole clip."""
    import soxr

    id_ = split.val[0]
    waveform = decode_audio(split.root / split.samples[id_].audio_path, window_s=0.5)
    resampled = torch.from_numpy(soxr.resample(waveform, 48_000, 16_000))
    got = prepare().audio(AudioFeature.LOG_MEL, [id_])
    assert got.shape == (1, 32, 60)
    torch.testing.assert_close(got, log_mel(resampled[None], settings=MEL))


def test_a_sound_ten_times_quieter_keeps_its_loudness_in_every_feature(prepare, write_listed):
    """Catches: defect (i), a peak or level that is normalised before an encoder."""
    found = []
    for folder, loudness in (("loud", 1.0), ("quiet", 0.1)):
        root = write_listed({"rain": 4, "fire": 3}, folder=folder)
        for path in (root / "audio").iterdir():
            samples, rate = soundfile.read(path)
            soundfile.write(path, loudness * samples, rate, subtype="FLOAT")
        split = make_split(build_manifest(root, max_excluded_share=0))
        found.append(prepare(split=split))
    ids = sorted(split.samples)
    loud, quiet = (features.audio(AudioFeature.LOG_MEL, ids) for features in found)
    has_sound = loud[..., : 1 + (8_000 - 400) // 160]
    fallen = has_sound - quiet[..., : has_sound.shape[-1]]
    torch.testing.assert_close(
        fallen, torch.full_like(fallen, 2 * np.log(10) / MEL.std), atol=1e-2, rtol=0
    )
    for feature in (AudioFeature.CLAP_POOLED, AudioFeature.CLAP_SEQUENCE):
        loud, quiet = (features.audio(feature, ids) for features in found)
        assert ((loud - quiet).flatten(1).norm(dim=1) > 1e-3 * loud.flatten(1).norm(dim=1)).all()


def test_silence_is_the_feature_of_no_sound(prepare, encoders):
    """Catches: a silent control made of zeros in feature space, which no encoder says."""
    features = prepare()
    with torch.no_grad():
        embedding = encoders.encode_audio([np.zeros(24_000, np.float32)])
    got = features.silence(AudioFeature.CLAP_POOLED)
    torch.testing.assert_close(got, embedding.pooled_BD[0], atol=1e-5, rtol=1e-4)
    silent_mel = log_mel(torch.zeros(1, 8_000), settings=MEL)[0]
    torch.testing.assert_close(features.silence(AudioFeature.LOG_MEL), silent_mel)


def test_class_index_follows_the_sorted_classes(prepare, split):
    """Catches: an index by first appearance, which differs between splits."""
    index = prepare().class_index(split.train)
    assert index.dtype == torch.int64
    assert [split.classes[k] for k in index] == [split.samples[i].class_name for i in split.train]


def test_a_second_preparation_calls_no_encoder(prepare, encoders, split):
    """Catches: a cache that is written and never read."""
    first = prepare()
    assert encoders.calls == (14, 3, 8)
    assert first.num_computed == 14 + 3 + 8 + 8
    again = prepare()
    assert encoders.calls == (14, 3, 8)
    assert (again.num_computed, again.notices) == (0, ())
    ids = split.train
    for feature in ALL:
        assert torch.equal(first.audio(feature, ids), again.audio(feature, ids))


def test_only_what_changed_is_computed_again(prepare, encoders):
    """Catches: a setting that is missing from a key, so an old row is returned."""
    prepare()
    before = (14, 3, 8)
    for part, grown in (("vae", (28, 3, 8)), ("text_encoder", (28, 6, 8)), ("clap", (28, 6, 16))):
        encoders.revisions[part] = "2"
        prepare()
        assert encoders.calls == grown
        before = grown
    assert prepare(window_s=0.6).num_computed == 16  # a sound's two kinds of features
    assert encoders.calls == (28, 6, 24)
    assert prepare(window_s=0.6, log_mel=LogMelSettings(num_frames=61)).num_computed == 8
    encoders.image_size = 24
    prepare()
    encoders.image_size = 16
    assert encoders.calls == (42, 6, 24)
    encoders.dtype = torch.bfloat16
    prepare()
    assert encoders.calls == (56, 9, 32)
    assert before == (28, 6, 16)


def test_only_the_features_asked_for_are_computed(prepare, encoders, split):
    """Catches: every branch paying for the others' encoders."""
    features = prepare(audio_features=frozenset({AudioFeature.LOG_MEL}), horizontal_flip=False)
    assert encoders.calls == (7, 3, 0)
    with pytest.raises(UsageError, match="clap_pooled was not prepared; prepared: log_mel"):
        features.audio(AudioFeature.CLAP_POOLED, split.train)
    with pytest.raises(UsageError, match="horizontal_flip=True"):
        features.latent_moments(split.train[:1], [True])


def test_unknown_ids_and_captions_are_refused(prepare):
    """Catches: a KeyError of a hash."""
    features = prepare()
    with pytest.raises(UsageError, match="no sample 'nobody'"):
        features.text(["nobody"])
    with pytest.raises(UsageError, match="no features of the caption 'a cat'"):
        features.caption_text(["a cat"])


def test_equal_content_is_encoded_once(write_listed, prepare, encoders):
    """Catches: rows by id, which recompute shared files and new splits."""
    root = write_listed({"rain": 6}, folder="twins")
    shutil.copy(root / "audio/rain0.wav", root / "audio/rain1.wav")
    twins = make_split(build_manifest(root, max_excluded_share=0))
    features = prepare(split=twins)
    assert encoders.calls == (12, 2, 6)
    rows = features.audio(AudioFeature.CLAP_POOLED, ["rain0", "rain1", "rain2"])
    assert torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[0], rows[2])
    prepare(split=make_split(build_manifest(root, max_excluded_share=0), seed=5))
    assert encoders.calls == (12, 2, 6)


def test_a_file_changed_since_the_split_is_refused(prepare, split, write_wav):
    """Catches: features of another sound kept under the locked content's hash."""
    sample = split.samples[split.train[0]]
    write_wav(split.root / sample.audio_path, seed=1234)
    with pytest.raises(MismatchError, match=f"sample '{sample.id}': the audio file"):
        prepare()


def test_an_encoder_that_says_nan_names_the_clip(prepare, encoders, split, monkeypatch):
    """Catches: caching what an overflowing encoder returned."""
    sound = encoders.encode_audio

    def overflowing(waveforms):
        embedding = sound(waveforms)
        embedding.pooled_BD[0, 0] = float("inf")
        return embedding

    monkeypatch.setattr(encoders, "encode_audio", overflowing)
    with pytest.raises(GuardError, match=r"clap of sample '(rain|fire)\d' are not finite"):
        prepare()


def test_a_damaged_shard_is_repaired_and_noticed(prepare, encoders, split, tmp_path):
    """Catches: a repair that the run's record never hears of."""
    expected = prepare().audio(AudioFeature.CLAP_POOLED, split.train)
    (shard,) = (tmp_path / "cache").glob("clap-*/*.safetensors")
    content = bytearray(shard.read_bytes())
    content[-3] ^= 64
    shard.write_bytes(content)
    features = prepare()
    assert encoders.num_sounds == 16
    assert [str(shard) in notice for notice in features.notices] == [True]
    assert torch.equal(features.audio(AudioFeature.CLAP_POOLED, split.train), expected)


def test_progress_reaches_its_total(prepare):
    """Catches: a bar that never fills, cold or warm, or rows of the cache counted as encoded."""
    for encoded in (33, 0):
        seen = []
        prepare(progress=lambda *pair, seen=seen: seen.append(pair))
        assert seen[-1] == (33, 33, encoded)
        assert [done for done, *_ in seen] == sorted({done for done, *_ in seen})


def test_only_training_clips_longer_than_the_window_have_crops(
    prepare, encoders, split, write_wav, write_listed
):
    """Catches: a held-out clip heard at a random place, or a crop reaching beyond its clip."""
    root = write_listed({"rain": 4, "fire": 3}, folder="long")
    for index in range(4):
        write_wav(root / f"audio/rain{index}.wav", seed=50 + index, duration_s=1.1)
    longer = make_split(build_manifest(root, max_excluded_share=0))
    features = prepare(split=longer, audio_crops=3)
    rain = [id_ for id_ in longer.train if id_.startswith("rain")]
    assert features.num_crops == dict.fromkeys(longer.train, 3)
    assert len(rain) >= 2
    id_ = rain[0]
    crops = features.audio(AudioFeature.CLAP_POOLED, [id_] * 3, [0, 1, 2])
    whole = decode_audio(root / f"audio/{id_}.wav", window_s=5)
    for crop, start in enumerate((0, 14_400, 28_800)):  # room of 0.6 s at 48 kHz
        with torch.no_grad():
            heard = encoders.encode_audio([whole[start : start + 24_000]]).pooled_BD[0]
        torch.testing.assert_close(crops[crop], heard, atol=1e-5, rtol=1e-4)
    held_out = [*longer.val, *longer.test]
    plain = prepare(split=longer)
    assert plain.num_computed == 0
    assert plain.num_crops == {}
    for feature in ALL:
        assert torch.equal(features.audio(feature, held_out), plain.audio(feature, held_out))
        assert torch.equal(features.audio(feature, rain), plain.audio(feature, rain))


def test_more_crops_keep_the_rows_there_are(prepare, encoders, split):
    """Catches: every sound encoded again when a setting asks for more of it."""
    prepare()
    before = encoders.num_sounds
    prepare(audio_crops=2)
    assert encoders.num_sounds == before + len(split.train)
