"""LAION's CLAP: a small ClapModel renamed back to LAION's names has to survive the way forth, and
one of true size has to hear what `laion-clap` itself heard (`make peers`)."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

from benchmarks.peers.drawn import sound, weight
from core.errors import MismatchError, MissingWeightsError
from core.foundation.convert.clap import convert_clap
from core.foundation.foundation import Foundation
from core.foundation.layout import CLAP
from core.foundation.sources import resolve_source
from core.randomness import torch_seeded

# The names of the laion-clap package, part by part.
TO_LAION = (
    ("audio_model.audio_encoder.batch_norm", "audio_branch.bn0"),
    ("audio_model.audio_encoder", "audio_branch"),
    ("attention.self.relative_position", "attn.relative_position"),
    ("attention.output.dense", "attn.proj"),
    ("intermediate.dense", "mlp.fc1"),
    ("output.dense", "mlp.fc2"),
    ("layernorm_before", "norm1"),
    ("layernorm_after", "norm2"),
    ("projection.linear1", "projection.0"),
    ("projection.linear2", "projection.2"),
)
# What else lies in a released file, with shapes of no matter.
BESIDE = {
    "text_branch.embeddings.position_ids": (1, 20),
    "audio_branch.spectrogram_extractor.stft.conv_real.weight": (3, 1, 4),
    "audio_branch.spectrogram_extractor.stft.conv_imag.weight": (3, 1, 4),
    "audio_branch.logmel_extractor.melW": (3, 16),
    "audio_branch.tscam_conv.weight": (2, 2, 2, 3),
    "audio_branch.tscam_conv.bias": (2,),
    "audio_branch.head.weight": (2, 2),
    "audio_branch.head.bias": (2,),
    "text_transform.sequential.0.weight": (2, 2),
    "text_transform.sequential.3.bias": (2,),
    "audio_transform.sequential.0.weight": (2, 2),
    "audio_transform.sequential.3.bias": (2,),
}
PEERS = Path("tests") / "data" / "peers"


def small_clap(*, is_fused: bool = False, num_words: int = 50) -> ClapModel:
    fusion = {"enable_fusion": True, "fusion_type": "aff_2d"} if is_fused else {}
    config = ClapConfig(
        audio_config={
            "num_mel_bins": 16,
            "spec_size": 64,
            "window_size": 4,
            "patch_embeds_hidden_size": 16,
            "depths": [2, 2],
            "num_attention_heads": [2, 4],
            "num_hidden_layers": 2,
            "hidden_size": 32,
            "projection_dim": 24,
            **fusion,
        },
        text_config={
            "vocab_size": num_words,
            "hidden_size": 128,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "max_position_embeddings": 20,
            "layer_norm_eps": 1e-5,
            "projection_dim": 24,
        },
        projection_dim=24,
    )
    with torch_seeded(0, "test", "clap"), torch.no_grad():
        model = ClapModel(config).eval()
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point() and "running" not in name:
                tensor.normal_(0, 0.3)  # fresh weights are too small to tell two models apart
            elif "running" in name:
                tensor.uniform_(0.5, 1.5)
    return model


def laion_state(model: ClapModel) -> dict[str, Tensor]:
    """The model under LAION's names, query, key and value in one, with what lies beside."""
    state: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        if name.endswith(("token_type_ids", "position_ids")):
            continue
        if name.startswith("text_model."):
            state[name.replace("text_model", "text_branch", 1)] = tensor
        elif ".self.query." in name:
            parts = [
                model.state_dict()[name.replace("query", p)] for p in ("query", "key", "value")
            ]
            laion = name.replace("attention.self.query", "attn.qkv")
            state[laion.replace("audio_model.audio_encoder", "audio_branch")] = torch.cat(parts)
        elif not re.search(r"\.self\.(key|value)\.", name):
            for ours, theirs in TO_LAION:
                name = name.replace(ours, theirs)
            state[name] = tensor
    state |= {name: torch.ones(shape) for name, shape in BESIDE.items()}
    # 16 x 16 patches fall into 16 shifted windows of 4 x 4.
    state["audio_branch.layers.0.blocks.1.attn_mask"] = torch.zeros(16, 16, 16)
    return state


def save(state: dict[str, Tensor], path: Path) -> Path:
    wrapped = {f"module.{name}": tensor for name, tensor in state.items()}
    torch.save({"epoch": 1, "best": np.float64(0.5), "state_dict": wrapped}, path)
    return path


@pytest.mark.parametrize("is_fused", [False, True])
@torch.no_grad()
def test_converted_checkpoint_hears_and_reads_as_the_model_it_came_from(
    is_fused: bool, tmp_path: Path
) -> None:
    """Catches: query, key and value in another order, norms swapped, a text norm of other eps."""
    model = small_clap(is_fused=is_fused)
    found = convert_clap(save(laion_state(model), tmp_path / "l.pt"), folder=tmp_path / "clap")
    assert set(found.left_out) == {*BESIDE, "audio_branch.layers.0.blocks.1.attn_mask"}
    converted = ClapModel.from_pretrained(tmp_path / "clap").eval()
    draws = torch.Generator().manual_seed(1)
    mel = torch.randn(2, 4 if is_fused else 1, 60, 16, generator=draws)
    hearing = {"input_features": mel, "is_longer": torch.tensor([[is_fused], [False]])}
    words = {"input_ids": torch.arange(2, 14).view(2, 6)}
    for got, expected in (
        (converted.get_audio_features(**hearing), model.get_audio_features(**hearing)),
        (converted.get_text_features(**words), model.get_text_features(**words)),
    ):
        assert torch.equal(got.pooler_output, expected.pooler_output)
        assert torch.equal(got.last_hidden_state, expected.last_hidden_state)
    extractor = ClapFeatureExtractor.from_pretrained(tmp_path / "clap")
    assert (extractor.frequency_min, extractor.feature_size) == (50, 16)


def test_sizes_are_read_off_the_tensors(tmp_path: Path) -> None:
    """Catches: a config of defaults that happens to load, with other windows or heads."""
    model = small_clap()
    convert_clap(save(laion_state(model), tmp_path / "l.pt"), folder=tmp_path / "clap")
    got = ClapConfig.from_pretrained(tmp_path / "clap")
    for part in ("audio_config", "text_config"):
        ours, theirs = getattr(got, part).to_dict(), getattr(model.config, part).to_dict()
        differing = {k for k in theirs if ours.get(k) != theirs[k]}
        assert differing <= {"dtype", "patch_stride"}, {
            k: (ours.get(k), theirs[k]) for k in differing
        }
    assert list(got.audio_config.patch_stride) == [4, 4]


def test_converted_folder_is_one_that_a_profile_can_name(tmp_path: Path) -> None:
    """Catches: a folder without what `foundation.clap` needs to hear."""
    convert_clap(save(laion_state(small_clap()), tmp_path / "l.pt"), folder=tmp_path / "clap")
    foundation = Foundation(
        stable_diffusion="embedded:stable_diffusion", clap=str(tmp_path / "clap")
    )
    assert foundation.clap.config.projection_dim == 24
    assert foundation.clap_extractor.sampling_rate == 48_000
    assert len(foundation.revision("clap")) == 64


def test_tokenizer_that_is_named_comes_along_if_it_fits(tmp_path: Path) -> None:
    """Catches: text that is embedded by words the checkpoint has no vectors for."""
    checkpoint = save(laion_state(small_clap(num_words=500)), tmp_path / "l.pt")
    words = str(resolve_source("embedded:clap").location)
    convert_clap(checkpoint, folder=tmp_path / "clap", tokenizer=words)
    foundation = Foundation(
        stable_diffusion="embedded:stable_diffusion", clap=str(tmp_path / "clap")
    )
    assert foundation.encode_clap_text(["a dog barks", "rain"]).shape == (2, 24)
    small = save(laion_state(small_clap()), tmp_path / "small.pt")
    with pytest.raises(MismatchError, match="the checkpoint 50"):
        convert_clap(small, folder=tmp_path / "other", tokenizer=words)
    wordless = str(resolve_source("embedded:image_judge").location)
    for absent in ("owner/none", wordless):
        with pytest.raises(MissingWeightsError, match="tokenizer of"):
            convert_clap(checkpoint, folder=tmp_path / "other", tokenizer=absent)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("name", "shape", "complaint"),
    [
        ("audio_branch.layers.1.blocks.0.attn.qkv.bias", None, r"1 missing \(audio_branch\.layers"),
        ("audio_branch.layers.0.blocks.0.norm3.weight", (4,), r"1 unexpected \(audio_branch"),
        ("audio_projection.0.weight", (24, 31), r"is \[24, 31\], expected \[24, 32\]"),
        ("audio_branch.patch_embed.proj.weight", None, "not a LAION CLAP checkpoint"),
    ],
)
def test_another_model_is_refused_by_the_tensor_that_differs(
    name: str, shape: tuple[int, ...] | None, complaint: str, tmp_path: Path
) -> None:
    """Catches: a layer left at random because its name was unknown."""
    state = laion_state(small_clap())
    state.pop(name, None)
    if shape is not None:
        state[name] = torch.zeros(shape)
    with pytest.raises(MismatchError, match=complaint):
        convert_clap(save(state, tmp_path / "l.pt"), folder=tmp_path / "clap")
    assert not (tmp_path / "clap").exists()


def drawn_checkpoint(path: Path, *, shapes: dict[str, list[int]]) -> Path:
    """The checkpoint that `make peers` gave the package; what is computed is of no matter."""
    windows = ClapModel(ClapConfig()).state_dict()
    state = {}
    for name, shape in shapes.items():
        if name.endswith("relative_position_index"):
            ours = name.replace("audio_branch", "audio_model.audio_encoder")
            state[name] = windows[ours.replace(".attn.", ".attention.self.")]
        elif re.search("spectrogram|logmel|attn_mask|position_ids|logit_scale", name):
            state[name] = torch.ones(shape)
        elif not name.endswith("num_batches_tracked"):
            state[name] = torch.from_numpy(weight(name, tuple(shape)))
        else:
            state[name] = torch.tensor(0)
    return save(state, path)


@pytest.mark.parametrize("step", ["laion", "laion-fusion"])
def test_converted_checkpoint_hears_as_the_package_does(step: str, tmp_path: Path) -> None:
    """Catches: a mel of another scale, a clip marked as longer by lot, another network."""
    shapes = json.loads((PEERS / "laion_shapes.json").read_text())[step]
    convert_clap(drawn_checkpoint(tmp_path / "l.pt", shapes=shapes), folder=tmp_path / "clap")
    foundation = Foundation(
        stable_diffusion="embedded:stable_diffusion", clap=str(tmp_path / "clap")
    )
    waves = [sound(f"48k-{k}", duration_s=10, rate_hz=48_000) for k in range(2)]
    theirs = np.load(PEERS / "theirs.npz")[step]
    got = foundation.encode_audio(waves).pooled_BD.numpy()
    assert np.abs(np.linalg.norm(theirs, axis=1) - 1).max() < 1e-5
    assert np.linalg.norm(theirs[0] - theirs[1]) > 1e-2
    assert np.linalg.norm(got - theirs, axis=1).max() < 1e-5


def test_features_of_a_fused_model_are_not_those_of_before(tmp_path: Path) -> None:
    """Catches: cached features of the wrong mel scale that are read again."""
    revisions = {}
    for is_fused in (True, False):
        folder = tmp_path / str(is_fused)
        convert_clap(
            save(laion_state(small_clap(is_fused=is_fused)), tmp_path / "l.pt"), folder=folder
        )
        foundation = Foundation(stable_diffusion="embedded:stable_diffusion", clap=str(folder))
        files = foundation.clap_source.fingerprint(CLAP)
        revisions[is_fused] = foundation.revision("clap") == files
    assert revisions == {True: False, False: True}
