"""The encoder: sizes, layouts, order of tokens, folders, memory of the backward pass."""

import math
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from core.errors import MismatchError, MissingWeightsError, UsageError
from core.foundation.mamba.config import MambaEncoderConfig
from core.foundation.mamba.encoder import MambaAudioEncoder
from core.foundation.mamba.storage import save_encoder
from core.randomness import torch_seeded
from tests.core.foundation.mamba.loaded import load_encoder

NUM_AUDIOSET_CLASSES = 527


def encoder(**settings: object) -> MambaAudioEncoder:
    """A small encoder of 16 mels x 32 frames; keywords override."""
    defaults = {
        "log_mel": (16, 32),
        "patch": (8, 8),
        "width": 16,
        "depth": 2,
        "state_dim": 4,
    }
    with torch_seeded(0, "test", "encoder"):
        return MambaAudioEncoder(MambaEncoderConfig(**{**defaults, **settings})).eval()


@pytest.fixture(name="log_mel_BMT")
def spectrograms() -> Tensor:
    return torch.randn(2, 16, 32, generator=torch.Generator().manual_seed(0))


def size_of(*, head: bool = False, **settings: object) -> int:
    """Parameters at full size, counted on the meta device, with AuM's classifier or without."""
    with torch.device("meta"):
        model = nn.ModuleList([MambaAudioEncoder(MambaEncoderConfig(**settings))])
        if head:
            model.append(nn.Linear(settings["width"], NUM_AUDIOSET_CLASSES))
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("width", "expected"), [(192, 6_922_176), (384, 25_345_920), (768, 96_698_112)]
)
def test_ssamba_has_the_parameters_of_its_design(width: int, expected: int) -> None:
    """Catches: a parameter shared or doubled that should not be, between the directions."""
    assert size_of(width=width) == expected
    assert MambaEncoderConfig().width == 192


@pytest.mark.parametrize(
    ("width", "block", "expected"), [(768, "v1", 92_107_535), (384, "v2", 25_539_215)]
)
def test_aum_with_its_classifier_has_the_published_size(
    width: int, block: str, expected: int
) -> None:
    """Catches: a v1 block that owns more than A, a bias where AuM has RMSNorm."""
    assert size_of(head=True, width=width, layout="aum", block=block) == expected


@pytest.mark.parametrize("layout", ["ssamba", "aum", "plain"])
@pytest.mark.parametrize(("moved", "seen"), [(-1, 1), (1, -1)])
def test_every_end_of_the_sequence_hears_the_other(
    layout: str, moved: int, seen: int, log_mel_BMT: Tensor
) -> None:
    """Catches: an encoder that runs in one direction only."""
    model = encoder(layout=layout)
    changed = log_mel_BMT.clone()
    # Frequency-major patches: the first is the lowest band's first step, the last the top's last.
    corner = (slice(8, 16), slice(24, 32)) if moved == -1 else (slice(0, 8), slice(0, 8))
    changed[:, *corner] += 1.0
    difference = (model(changed) - model(log_mel_BMT)).abs().amax(dim=(0, 2))
    assert difference[seen] > 1e-7


@pytest.mark.parametrize("layout", ["ssamba", "aum", "plain"])
def test_tokens_are_frequency_major_behind_cls(layout: str) -> None:
    """Catches: a transposed patch grid, which scrambles time; a cls that stays in the middle."""
    model = encoder(layout=layout)
    with torch.no_grad():
        for block in model.blocks:
            block.mixer.out_proj.weight.zero_()
    quiet = torch.zeros(1, 16, 32)
    changed = quiet.clone()
    changed[0, 8:16, 16:24] = 1.0
    moved = (model(changed) - model(quiet)).abs().amax(dim=-1)[0] > 1e-6
    assert model.grid == (2, 4)
    assert moved.nonzero().flatten().tolist() == [1 + 1 * 4 + 2]


def test_aum_places_cls_in_the_middle_with_its_own_position(log_mel_BMT: Tensor) -> None:
    """Catches: cls first inside, or positions that shift by one when cls moves."""
    model = encoder(layout="aum", depth=1)
    patches = model.patch_embed(log_mel_BMT[:, None]).flatten(2).transpose(1, 2)
    position = model.position_LW
    cls = (model.cls_W + position[0]).expand(2, 1, -1)
    patches = patches + position[1:]
    x = torch.cat([patches[:, :4], cls, patches[:, 4:]], dim=1)
    x = x + model.blocks[0](x)
    x = x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + 1e-5) * model.norm.weight
    expected = torch.cat([x[:, 4:5], x[:, :4], x[:, 5:]], dim=1)
    assert torch.allclose(model(log_mel_BMT), expected, atol=1e-6)


def test_ssamba_runs_pairs_side_by_side_and_norms_twice(log_mel_BMT: Tensor) -> None:
    """Catches: blocks in a row, an odd block that reads ahead, a stream that does not double."""
    model = encoder(layout="ssamba", depth=4)
    with torch.no_grad():
        for index, block in enumerate(model.blocks):
            block.norm.weight.add_(0.1 * index)
        model.norm.bias.add_(0.2)
    patches = model.patch_embed(log_mel_BMT[:, None]).flatten(2).transpose(1, 2)
    cls = model.cls_W.expand(2, 1, -1)
    hidden, residual = torch.cat([cls, patches], dim=1) + model.position_LW, None
    # As the released code has it: each block adds what it was handed, norms, and hands both on.
    for first, second in ((0, 1), (2, 3)):
        stream = hidden if residual is None else residual + hidden
        ahead = model.blocks[first](stream)
        back = model.blocks[second](stream.flip(1))
        hidden, residual = ahead + back.flip(1), stream + stream.flip(1).flip(1)
    expected = model.norm(model.norm(residual + hidden))
    assert torch.allclose(model(log_mel_BMT), expected, atol=1e-5)


def test_plain_runs_blocks_in_a_row_and_norms_once(log_mel_BMT: Tensor) -> None:
    """Catches: a layout that is another under a third name."""
    model = encoder(layout="plain", depth=3)
    patches = model.patch_embed(log_mel_BMT[:, None]).flatten(2).transpose(1, 2)
    x = torch.cat([model.cls_W.expand(2, 1, -1), patches], dim=1) + model.position_LW
    for block in model.blocks:
        x = x + block(x)
    assert torch.allclose(model(log_mel_BMT), model.norm(x), atol=1e-6)


def test_patches_that_do_not_tile_the_spectrogram_are_refused() -> None:
    """Catches: the end of every clip cut off in silence."""
    with pytest.raises(UsageError, match="do not tile"):
        encoder(patch=(8, 12))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"depth": 3}, "in pairs"),
        ({"head_dim": 4}, "mamba2 alone"),
        ({"block": "mamba2", "head_dim": 5}, "do not divide"),
        ({"patch": (0, 4)}, "greater than 0"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    settings: dict[str, object], complaint: str
) -> None:
    """Catches: a last block left out of the pairs; a head size that nothing reads."""
    with pytest.raises(ValidationError, match=complaint):
        MambaEncoderConfig(width=16, **settings)


@pytest.mark.parametrize("block", ["v1", "v2", "mamba2"])
def test_saved_encoder_is_the_same_encoder(block: str, tmp_path: Path, log_mel_BMT: Tensor) -> None:
    """Catches: a setting or a tensor that the folder does not keep."""
    model = encoder(block=block, layout="aum", depth=1)
    save_encoder(model, tmp_path)
    loaded = load_encoder(tmp_path)
    assert loaded.config == model.config
    assert torch.equal(loaded(log_mel_BMT), model(log_mel_BMT))


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    """Catches: a missing tensor left at its random start, an extra one dropped in silence."""
    model = encoder()
    save_encoder(model, tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    tensors["head.weight"] = tensors.pop("cls_W")
    tensors["norm.bias"] = torch.zeros(3)
    save_file(tensors, path)
    with pytest.raises(
        MismatchError,
        match=r"1 missing \(cls_W\), 1 unexpected \(head\.weight\), 1 of another shape "
        r"\(norm\.bias is \[3\], expected \[16\]\)",
    ):
        load_encoder(tmp_path)


def test_a_folder_that_is_no_encoders_says_so(tmp_path: Path) -> None:
    """Catches: a traceback for a wrong path, or a config of another model taken for ours."""
    with pytest.raises(MissingWeightsError, match=r"no config\.json"):
        load_encoder(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "clap"}')
    with pytest.raises(MissingWeightsError, match="is not a Mamba encoder config: model_type"):
        load_encoder(tmp_path)


# Memory ------------------------------------------------------------------------------------------


def bytes_kept(model: nn.Module, x: Tensor) -> int:
    """Bytes autograd keeps for the backward pass, each storage once, parameters left out."""
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        held.append(tensor)  # alive until all are counted, lest an address be used twice
        return tensor

    held: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model(x)
    assert output.requires_grad
    return sum(kept.values())


def slope(model: nn.Module) -> float:
    """Exponent of the growth of `bytes_kept` from 128 to 1,024 tokens."""
    short, long = (
        bytes_kept(model, torch.randn(1, length, 16, requires_grad=True)) for length in (128, 1024)
    )
    return math.log(long / short) / math.log(1024 / 128)


class EagerAttention(nn.Module):
    """Self-attention whose weights are a tensor, as without a fused kernel."""

    def __init__(self, width: int, *, num_heads: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.num_heads = num_heads

    def forward(self, x_BLW: Tensor) -> Tensor:
        heads = self.qkv(x_BLW).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = heads
        weights = (query @ key.mT / math.sqrt(query.shape[-1])).softmax(dim=-1)
        return (weights @ value).transpose(1, 2).flatten(2)


@pytest.mark.parametrize("block", ["v1", "v2", "mamba2"])
def test_memory_for_the_backward_pass_grows_linearly_with_length(block: str) -> None:
    """Catches: a scan that keeps something of every pair of steps, as a sliced loop does."""
    assert slope(encoder(block=block).blocks[0]) <= 1.05


def test_memory_of_eager_attention_grows_nearly_quadratically() -> None:
    """Catches: a count that would call anything linear."""
    assert slope(EagerAttention(16, num_heads=4)) > 1.8
