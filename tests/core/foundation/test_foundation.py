"""Loading the frozen models, and what their encoders promise."""

import gc
import shutil
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from core.errors import MissingWeightsError, UsageError
from core.foundation.foundation import CLAP_SAMPLE_RATE_HZ, Foundation

SD, CLAP = "embedded:stable_diffusion", "embedded:clap"
WEIGHTS = {
    "unet": "unet/diffusion_pytorch_model.safetensors",
    "vae": "vae/diffusion_pytorch_model.safetensors",
    "text_encoder": "text_encoder/model.safetensors",
}


@pytest.fixture(scope="module")
def foundation() -> Foundation:
    return Foundation(stable_diffusion=SD, clap=CLAP)


@pytest.fixture
def copy(tmp_path: Path, foundation: Foundation) -> Path:
    """The embedded folders, copied to where a test may damage them."""
    shutil.copytree(foundation.stable_diffusion.location, tmp_path / "sd")
    shutil.copytree(foundation.clap_source.location, tmp_path / "clap")
    return tmp_path


def open_copy(copy: Path) -> Foundation:
    return Foundation(stable_diffusion=str(copy / "sd"), clap=str(copy / "clap"))


def tone(hz: float, *, seconds: float = 1.0) -> np.ndarray:
    times = np.arange(round(seconds * CLAP_SAMPLE_RATE_HZ)) / CLAP_SAMPLE_RATE_HZ
    return (0.3 * np.sin(2 * np.pi * hz * times)).astype(np.float32)


def test_every_part_is_frozen_and_in_eval_mode(foundation: Foundation) -> None:
    """Catches: a foundation that trains along, or drops activations while it encodes."""
    for model in (foundation.vae, foundation.unet, foundation.text_encoder, foundation.clap):
        assert not model.training
        assert not any(parameter.requires_grad for parameter in model.parameters())


def test_freed_encoders_hold_no_memory_and_come_back(copy: Path) -> None:
    """Catches: CLAP and the text encoder kept on the card through a training that reads neither."""
    foundation = open_copy(copy)
    before_BLC = foundation.encode_text(["rain"])
    gone = weakref.ref(foundation.text_encoder)
    kept = foundation.vae
    foundation.free_encoders()
    gc.collect()
    assert gone() is None
    assert foundation.vae is kept
    assert torch.equal(foundation.encode_text(["rain"]), before_BLC)


def test_shapes_agree_with_what_the_encoders_return(foundation: Foundation) -> None:
    """Catches: a variant built for another token grid than CLAP and CLIP deliver."""
    shapes = foundation.shapes(log_mel=(64, 128), num_classes=8)
    text = foundation.encode_text(["A scene with fire sound"])
    audio = foundation.encode_audio([tone(440)])
    assert text.shape == (1, shapes.num_text_tokens, shapes.context_dim)
    assert audio.pooled_BD.shape == (1, shapes.clap_pooled_dim)
    assert audio.sequence_BTD.shape[1:] == shapes.clap_sequence
    channels, height, width = foundation.latent_shape
    image = torch.zeros(1, 3, foundation.image_size, foundation.image_size)
    mean, std = foundation.encode_images(image)
    assert mean.shape == std.shape == (1, channels, height, width)
    assert foundation.decode_latents(mean).shape == image.shape


def test_pooled_audio_has_norm_1_and_a_batch_equals_its_singles(foundation: Foundation) -> None:
    """Catches: `audio_embeds`, which are not normalised; padding that leaks between clips."""
    clips = [tone(220), tone(880, seconds=2.0), tone(3000, seconds=0.7)]
    together = foundation.encode_audio(clips)
    torch.testing.assert_close(together.pooled_BD.norm(dim=1), torch.ones(3))
    alone = torch.cat([foundation.encode_audio([clip]).pooled_BD for clip in clips])
    torch.testing.assert_close(together.pooled_BD, alone, rtol=1e-4, atol=1e-5)
    assert (together.pooled_BD[0] - together.pooled_BD[1]).abs().max() > 1e-3


def test_a_clip_longer_than_clap_hears_is_refused(foundation: Foundation) -> None:
    """Catches: an extractor that cuts long clips at random, another place at each call."""
    longest_s = foundation.clap_extractor.max_length_s
    with pytest.raises(UsageError, match=r"lower data\.window_s"):
        foundation.encode_audio([tone(440), tone(440, seconds=longest_s + 0.1)])


def test_clap_hears_from_50_hz_as_it_was_trained(foundation: Foundation) -> None:
    """Catches: transformers' default of 0 Hz, another mel scale than LAION's."""
    extractor = foundation.clap_extractor
    assert extractor.frequency_min == 50
    lowest = extractor.mel_filters[:, 0].nonzero()[0].min()
    assert lowest * CLAP_SAMPLE_RATE_HZ / 2 / (len(extractor.mel_filters) - 1) >= 50


def test_images_outside_the_vae_range_are_refused(foundation: Foundation) -> None:
    """Catches: pixels of 0 to 255 encoded as if they were -1 to 1."""
    with pytest.raises(ValueError, match="expected \\[-1, 1\\]"):
        foundation.encode_images(torch.full((1, 3, 64, 64), 128.0))


@pytest.mark.parametrize("part", ["vae", "unet", "text_encoder", "tokenizer", "scheduler"])
def test_a_missing_part_is_named(copy: Path, part: str) -> None:
    """Catches: a traceback of the library, or a tokenizer made of nothing."""
    shutil.rmtree(copy / "sd" / part)
    attribute = "noise_scheduler" if part == "scheduler" else part
    with pytest.raises(MissingWeightsError, match=f"the {part} of .*fetch the model again"):
        getattr(open_copy(copy), attribute)


@pytest.mark.parametrize("part", ["vae", "unet", "text_encoder", "clap"])
@pytest.mark.parametrize("damage", ["truncated", "missing", "misshapen"])
def test_damaged_weights_stop_the_run(copy: Path, part: str, damage: str) -> None:
    """Catches: weights that are not in the file and are drawn at random instead."""
    path = copy / "clap/model.safetensors" if part == "clap" else copy / "sd" / WEIGHTS[part]
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        tensors = load_file(path)
        name = next(n for n in sorted(tensors) if n.endswith("weight"))
        if damage == "missing":
            del tensors[name]
        else:
            tensors[name] = torch.zeros(3, 5, 7)
        save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(MissingWeightsError, match="cannot load the"):
        getattr(open_copy(copy), part)


def test_revisions_name_the_part_that_changed(copy: Path) -> None:
    """Catches: cached features of one encoder used for another."""
    before, after = open_copy(copy), None
    parts = ("vae", "text_encoder", "unet", "clap")
    first = {part: before.revision(part) for part in parts}
    path = copy / "sd/tokenizer/tokenizer_config.json"
    path.write_bytes(path.read_bytes() + b"\n")
    after = {part: open_copy(copy).revision(part) for part in parts}
    assert {part for part in parts if first[part] != after[part]} == {"text_encoder"}


def test_pickled_and_half_precision_files_load_as_they_are(
    copy: Path, foundation: Foundation
) -> None:
    """Catches: `.bin` and `.fp16.safetensors` files, which are all that many have, refused."""
    for part, suffix in (("text_encoder", "model"), ("unet", "diffusion_pytorch_model")):
        whole = copy / "sd" / WEIGHTS[part]
        weights = load_file(whole)
        whole.unlink()
        if part == "unet":
            half = {name: value.half() for name, value in weights.items()}
            save_file(half, whole.with_name(f"{suffix}.fp16.safetensors"), {"format": "pt"})
        else:
            torch.save(weights, whole.with_name("pytorch_model.bin"))
    clap = copy / "clap" / "model.safetensors"
    torch.save(load_file(clap), clap.with_name("pytorch_model.bin"))
    clap.unlink()
    opened = open_copy(copy)
    for name, value in foundation.text_encoder.state_dict().items():
        assert torch.equal(opened.text_encoder.state_dict()[name], value)
    for name, value in foundation.unet.state_dict().items():
        assert torch.equal(opened.unet.state_dict()[name], value.half().float())
    assert torch.equal(
        opened.encode_audio([tone(440)]).pooled_BD, foundation.encode_audio([tone(440)]).pooled_BD
    )
    assert opened.revision("unet") != foundation.revision("unet")


@pytest.mark.parametrize("text", [b"{", b"[]", b'{"audio_config": 3}', b"\xff\xfe"])
def test_a_damaged_config_of_clap_ends_in_a_sentence(copy: Path, text: bytes) -> None:
    """Catches: a traceback where the config is read to tell which mel scale the model hears on."""
    (copy / "clap" / "config.json").write_bytes(text)
    for ask in (lambda of: of.revision("clap"), lambda of: of.clap_config):
        with pytest.raises(MissingWeightsError, match="cannot load the CLAP config"):
            ask(open_copy(copy))


def test_a_pickle_that_would_run_code_is_not_loaded(copy: Path, tmp_path: Path) -> None:
    """Catches: a `.bin` from elsewhere that runs what it holds."""
    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return (Path.touch, (ran,))

    whole = copy / "sd" / WEIGHTS["text_encoder"]
    whole.unlink()
    torch.save({"x": Evil()}, whole.with_name("pytorch_model.bin"))
    with pytest.raises(MissingWeightsError, match="cannot load the text_encoder"):
        _ = open_copy(copy).text_encoder
    assert not ran.exists()


def test_a_loaded_model_leaves_the_meta_device_as_it_was() -> None:
    """Catches: torch.linspace that ignores `with torch.device("meta")` once transformers has loaded
    a model, so that branches which call it cannot be counted in the same process."""
    code = (
        "import torch; from core.foundation.foundation import Foundation\n"
        f"Foundation(stable_diffusion={SD!r}, clap={CLAP!r}).clap\n"
        "with torch.device('meta'): print(torch.linspace(0, 1, 3).device)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.split() == ["meta"]
