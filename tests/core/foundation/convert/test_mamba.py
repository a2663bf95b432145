"""SSAMBA and AuM checkpoints of small size, under the names of the released files."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mambapy.mamba import MambaBlock as ReferenceBlock
from mambapy.mamba import MambaConfig as ReferenceConfig
from torch import Tensor
from torch.nn import functional

from core.errors import MismatchError
from core.foundation.convert.mamba import Checkpoint, convert_mamba
from tests.core.foundation.mamba.loaded import load_encoder

WIDTH, INNER, STATE, DEPTH, RANK = 32, 64, 4, 4, 2
NUM_PATCHES = 8 * 4  # 128 mel bands x 64 frames in patches of 16 x 16


def direction(suffix: str) -> dict[str, tuple[int, ...]]:
    """What a direction of a Vim mixer owns; the backward one's names end in _b."""
    rates = "A_log" if not suffix else "A_b_log"
    return {
        rates: (INNER, STATE),
        f"D{suffix}": (INNER,),
        f"conv1d{suffix}.weight": (INNER, 1, 4),
        f"conv1d{suffix}.bias": (INNER,),
        f"x_proj{suffix}.weight": (RANK + 2 * STATE, INNER),
        f"dt_proj{suffix}.weight": (INNER, RANK),
        f"dt_proj{suffix}.bias": (INNER,),
    }


def vim(*, block: str, norm_bias: bool) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a Vision Mamba as both projects save it, without position and head."""
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, WIDTH),
        "patch_embed.proj.weight": (WIDTH, 1, 16, 16),
        "patch_embed.proj.bias": (WIDTH,),
        "norm_f.weight": (WIDTH,),
    }
    mixer = {"in_proj.weight": (2 * INNER, WIDTH), "out_proj.weight": (WIDTH, INNER)}
    mixer |= direction("")
    mixer |= direction("_b") if block == "v2" else {"A_b_log": (INNER, STATE)}
    for layer in range(DEPTH):
        shapes |= {f"layers.{layer}.mixer.{name}": shape for name, shape in mixer.items()}
        shapes[f"layers.{layer}.norm.weight"] = (WIDTH,)
        if norm_bias:
            shapes[f"layers.{layer}.norm.bias"] = (WIDTH,)
    if norm_bias:
        shapes["norm_f.bias"] = (WIDTH,)
    return shapes


def ssamba() -> dict[str, Tensor]:
    """A pretraining checkpoint of SSAMBA: DataParallel, heads of both objectives, its notes."""
    shapes = {f"v.{n}": s for n, s in vim(block="v2", norm_bias=True).items()}
    shapes |= {"v.pos_embed": (1, 1 + NUM_PATCHES, WIDTH), "mask_embed": (1, 1, WIDTH)}
    shapes |= {"v.head.weight": (1000, WIDTH), "v.head.bias": (1000,)}
    for head in ("cpredlayer", "gpredlayer"):
        shapes |= {f"{head}.0.weight": (WIDTH, WIDTH), f"{head}.0.bias": (WIDTH,)}
        shapes |= {f"{head}.2.weight": (256, WIDTH), f"{head}.2.bias": (256,)}
    drawn = {f"module.{n}": t for n, t in draw(shapes).items()}
    notes = {"module.p_input_fdim": torch.tensor(128), "module.p_input_tdim": torch.tensor(64)}
    return drawn | notes


def aum(block: str) -> dict[str, Tensor]:
    """A fine-tuned checkpoint of AuM, with its AudioSet classifier."""
    shapes = vim(block=block, norm_bias=False)
    shapes["pos_embed.pos_embed"] = (1, 1 + NUM_PATCHES, WIDTH)
    return draw(shapes | {"head.weight": (527, WIDTH), "head.bias": (527,)})


def draw(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    draws = torch.Generator().manual_seed(0)
    return {n: 0.2 * torch.randn(shape, generator=draws) for n, shape in shapes.items()}


@pytest.fixture
def convert(tmp_path: Path) -> Callable[..., Path]:
    """Saves a state dict and converts it; returns the encoder's folder."""

    def call(state: dict[str, Tensor], kind: str) -> Path:
        torch.save(state, tmp_path / "checkpoint.pth")
        folder = tmp_path / "encoder"
        convert_mamba(tmp_path / "checkpoint.pth", kind=Checkpoint(kind), folder=folder)
        return folder

    return call


def two_mixers(state: dict[str, Tensor], prefix: str) -> Callable[[Tensor], Tensor]:
    """The v2 mixer of a layer out of two stock mixers, read by the released names."""
    settings = ReferenceConfig(
        d_model=WIDTH, n_layers=1, d_state=STATE, d_conv=4, dt_rank=RANK, pscan=False
    )
    stock = []
    for suffix in ("", "_b"):
        block = ReferenceBlock(settings)
        own = {
            n.replace("_b", "", 1) if suffix else n: state[prefix + n] for n in direction(suffix)
        }
        shared = {n: state[prefix + n] for n in ("in_proj.weight", "out_proj.weight")}
        block.load_state_dict(own | shared, strict=True)
        stock.append(block)
    return lambda x: (stock[0](x) + stock[1](x.flip(1)).flip(1)) / 2


def embedded(state: dict[str, Tensor], log_mel_BMT: Tensor, *, root: str) -> Tensor:
    """Patches of the spectrogram as the released loaders scale it: over twice its deviation."""
    proj = f"{root}patch_embed.proj"
    x = functional.conv2d(
        log_mel_BMT[:, None] / 2, state[f"{proj}.weight"], state[f"{proj}.bias"], stride=16
    )
    return x.flatten(2).transpose(1, 2)


@torch.no_grad()
def test_converted_ssamba_computes_what_the_released_model_does(
    convert: Callable[..., Path],
) -> None:
    """Catches: directions swapped, a norm of another layer, the input at twice its scale."""
    saved = ssamba()
    encoder = load_encoder(convert(saved, "ssamba"))
    assert encoder.config.log_mel == (128, 64)
    state = {name.removeprefix("module."): tensor for name, tensor in saved.items()}
    log_mel_BMT = torch.randn(2, 128, 64, generator=torch.Generator().manual_seed(1))
    patches = embedded(state, log_mel_BMT, root="v.")
    hidden = torch.cat([state["v.cls_token"].expand(2, -1, -1), patches], dim=1)
    hidden, residual = hidden + state["v.pos_embed"], None

    def layer(index: int, hidden: Tensor, residual: Tensor | None) -> tuple[Tensor, Tensor]:
        residual = hidden if residual is None else residual + hidden
        norm = [state[f"v.layers.{index}.norm.{part}"] for part in ("weight", "bias")]
        normed = functional.layer_norm(residual, (WIDTH,), *norm)
        return two_mixers(state, f"v.layers.{index}.mixer.")(normed), residual

    for first in range(0, DEPTH, 2):
        ahead, ahead_residual = layer(first, hidden, residual)
        flipped = None if residual is None else residual.flip(1)
        back, back_residual = layer(first + 1, hidden.flip(1), flipped)
        hidden, residual = ahead + back.flip(1), ahead_residual + back_residual.flip(1)
    x = hidden + residual
    for _ in range(2):
        x = functional.layer_norm(x, (WIDTH,), state["v.norm_f.weight"], state["v.norm_f.bias"])
    assert torch.allclose(encoder(log_mel_BMT), x, atol=1e-5)


@torch.no_grad()
def test_converted_aum_computes_what_the_released_model_does(
    convert: Callable[..., Path],
) -> None:
    """Catches: cls at the front, its position left in the middle, a LayerNorm for RMSNorm."""
    state = aum("v2")
    encoder = load_encoder(convert(state, "aum"))
    log_mel_BMT = torch.randn(2, 128, 64, generator=torch.Generator().manual_seed(1))
    position = state["pos_embed.pos_embed"]
    patches = embedded(state, log_mel_BMT, root="") + position[:, 1:]
    cls = (state["cls_token"] + position[:, :1]).expand(2, -1, -1)
    middle = NUM_PATCHES // 2
    x = torch.cat([patches[:, :middle], cls, patches[:, middle:]], dim=1)
    for index in range(DEPTH):
        weight = state[f"layers.{index}.norm.weight"]
        normed = functional.rms_norm(x, (WIDTH,), weight, eps=1e-5)
        x = x + two_mixers(state, f"layers.{index}.mixer.")(normed)
    x = functional.rms_norm(x, (WIDTH,), state["norm_f.weight"], eps=1e-5)
    expected = torch.cat([x[:, middle : middle + 1], x[:, :middle], x[:, middle + 1 :]], dim=1)
    assert torch.allclose(encoder(log_mel_BMT), expected, atol=1e-5)


def test_v1_block_keeps_both_directions_rates(convert: Callable[..., Path]) -> None:
    """Catches: a forward-only reading of the base checkpoint, whose mixers share all but A."""
    state = aum("v1")
    encoder = load_encoder(convert(state, "aum"))
    assert encoder.config.block == "v1"
    mixer = encoder.blocks[2].mixer
    for name in direction(""):
        ours = mixer.shared.get_parameter(name)
        assert torch.equal(ours, state[f"layers.2.mixer.{name}"]), name
    assert torch.equal(mixer.A_b_log, state["layers.2.mixer.A_b_log"])


def test_what_was_left_out_is_said(tmp_path: Path) -> None:
    """Catches: tensors dropped without a word."""
    torch.save(aum("v2"), tmp_path / "a.pth")
    found = convert_mamba(tmp_path / "a.pth", kind=Checkpoint.AUM, folder=tmp_path / "e")
    assert found.left_out == ("head.bias", "head.weight")


@pytest.mark.parametrize(
    ("kind", "change", "complaint"),
    [
        (
            "ssamba",
            {"module.v.layers.1.mixer.D_b": None},
            r"1 missing \(v\.layers\.1\.mixer\.D_b\); nothing was written",
        ),
        ("ssamba", {"module.v.rope.freqs_cos": (2, 2)}, r"1 unexpected \(v\.rope\.freqs_cos\)"),
        (
            "aum",
            {"layers.3.mixer.dt_proj_b.weight": (INNER, 3)},
            r"layers\.3\.mixer\.dt_proj_b\.weight is \[64, 3\], expected \[64, 2\]",
        ),
        ("aum", {"norm_f.bias": (WIDTH,)}, r"1 unexpected \(norm_f\.bias\)"),
        ("aum", {"pos_embed.pos_embed": (1, 1 + 39, WIDTH)}, "overlapping patches"),
        ("aum", {"layers.0.mixer.A_b_log": None}, "one direction only"),
        ("aum", {"cls_token": None, "cls_token_head": (1, 1, WIDTH)}, r"missing \(cls_token\)"),
    ],
)
def test_a_checkpoint_of_another_kind_is_refused_by_name(
    kind: str,
    change: dict[str, tuple[int, ...] | None],
    complaint: str,
    convert: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """Catches: a tensor left at random, an extra one ignored, a shape broadcast into place."""
    state = ssamba() if kind == "ssamba" else aum("v2")
    for name, shape in change.items():
        state.pop(name, None)
        if shape is not None:
            state[name] = torch.zeros(shape)
    with pytest.raises(MismatchError, match=complaint):
        convert(state, kind)
    assert not (tmp_path / "encoder").exists()


def test_each_kind_refuses_the_other(convert: Callable[..., Path]) -> None:
    """Catches: AuM's weights run through SSAMBA's layout."""
    with pytest.raises(MismatchError, match="not a checkpoint of kind ssamba"):
        convert(aum("v2"), "ssamba")
    with pytest.raises(MismatchError, match="not a checkpoint of kind aum"):
        convert(ssamba(), "aum")
