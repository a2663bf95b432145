"""Tuners of peft that are adapters here keep what one promises; the others say why not."""

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from pydantic import ValidationError
from torch import Tensor

from core.choices import UnetAdapterKind
from core.conditioning.adapters import TunerAdapter, attach_unet_adapter
from core.conditioning.config import AdaptedConfig
from core.conditioning.tuner_kinds import OURS, REFUSED
from core.conditioning.tuners import TARGETS, default_options, option_names
from core.errors import GuardError, UsageError
from core.randomness import normal, torch_seeded

CONTEXT_DIM = 24
NOT_HERE = {UnetAdapterKind.ADAMSS, UnetAdapterKind.FROD}
"""AdaMSS needs scikit-learn; FRoD stacks layers of one name, whose sizes differ in a UNet."""
TUNERS = sorted(set(UnetAdapterKind) - OURS - REFUSED.keys() - NOT_HERE)


@pytest.fixture(autouse=True)
def peft_may_warn() -> Iterator[None]:
    """Of sparse tensors and missing CUDA kernels, in forward passes too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def small_unet() -> Any:
    with torch_seeded(0, "test", "tuners"):
        unet: Any = UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(16, 32),
            layers_per_block=1,
            cross_attention_dim=CONTEXT_DIM,
            attention_head_dim=4,
            norm_num_groups=8,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        )
    return unet.requires_grad_(False).eval()


def answer(unet: Any) -> Tensor:
    noisy = normal((2, 4, 8, 8), seed=0, name=("test", "noisy"))
    context = normal((2, 5, CONTEXT_DIM), seed=0, name=("test", "context"))
    found: Tensor = unet(noisy, torch.tensor([50, 900]), encoder_hidden_states=context).sample
    return found


@pytest.fixture(scope="module")
def plain() -> Tensor:
    with torch.no_grad():
        return answer(small_unet())


def attached(unet: Any, kind: UnetAdapterKind, *, seed: int = 0, **options: Any) -> TunerAdapter:
    with torch_seeded(seed, "test", "adapter"):
        adapter = attach_unet_adapter(unet, kind=kind, options=options)
    assert isinstance(adapter, TunerAdapter)
    return adapter


def trained(unet: Any, adapter: TunerAdapter) -> set[str]:
    """Names of the parameters that a few steps reach."""
    parameters = adapter.named_parameters()
    optimiser = torch.optim.AdamW(parameters.values(), lr=1e-2)
    reached = set()
    for _ in range(3):
        optimiser.zero_grad()
        answer(unet).square().mean().backward()
        reached |= {
            name for name, p in parameters.items() if p.grad is not None and bool(p.grad.any())
        }
        optimiser.step()
    return reached


@pytest.mark.parametrize("kind", TUNERS)
def test_a_tuner_is_an_adapter(kind: UnetAdapterKind, plain: Tensor) -> None:
    """Catches: a tuner that shifts the UNet before training, trains what is not in the graph or the
    UNet itself, cannot be switched off or taken off, or keeps something that its state lacks."""
    unet = small_unet()
    own = {name: p.clone() for name, p in unet.named_parameters()}
    adapter = attached(unet, kind)
    with torch.no_grad():
        assert float((answer(unet) - plain).abs().max()) <= 1e-4 * float(plain.abs().max())
    parameters = adapter.named_parameters()
    assert all(p.dtype is torch.float32 and p.requires_grad for p in parameters.values())
    assert sum(p.requires_grad for p in unet.parameters()) == len(parameters)

    assert trained(unet, adapter) == set(parameters)
    with torch.no_grad():
        after = answer(unet)
        assert float((after - plain).abs().max()) > 1e-4
        adapter.disable()
        assert torch.equal(answer(unet), plain)
        adapter.enable()
        assert torch.equal(answer(unet), after)
    assert all(p.requires_grad for p in parameters.values())

    other = small_unet()
    second = attached(other, kind, seed=1)  # whatever it draws at random is another
    second.load_state_dict(adapter.state_dict())
    with torch.no_grad():
        assert torch.equal(answer(other), after)
    with pytest.raises(GuardError, match="an adapter already"):
        attached(other, kind)

    adapter.detach()
    now = dict(unet.named_parameters())
    assert now.keys() == own.keys()
    assert all(torch.equal(now[name], own[name]) for name in own)
    with torch.no_grad():
        assert torch.equal(answer(unet), plain)


def test_every_kind_of_pefts_is_known_here() -> None:
    """Catches: a tuner of an upgraded peft that no run can name, or fewer that work."""
    theirs = {str(getattr(k, "value", k)).lower() for k in PEFT_TYPE_TO_CONFIG_MAPPING} - {"ssf"}
    assert theirs == {k.value for k in UnetAdapterKind} - {"ssf", "dora", "none"}
    assert len(TUNERS) + len({"lora", "ia3"}) >= 26


@pytest.mark.parametrize(
    ("kind", "words"), [("adamss", "scikit-learn"), ("frod", "cannot be attached to this UNet")]
)
def test_what_cannot_be_attached_leaves_the_unet_as_it_was(
    kind: str, words: str, plain: Tensor
) -> None:
    """Catches: a traceback of peft's, or half an adapter that stays on the UNet."""
    unet = small_unet()
    names = set(unet.state_dict())
    with pytest.raises(UsageError, match=words):
        attached(unet, UnetAdapterKind(kind))
    assert set(unet.state_dict()) == names
    with torch.no_grad():
        assert torch.equal(answer(unet), plain)
    assert isinstance(attached(unet, UnetAdapterKind.VERA), TunerAdapter)


@pytest.mark.parametrize("kind", sorted(REFUSED))
def test_what_is_no_adapter_of_a_unet_is_refused_with_its_settings(kind: UnetAdapterKind) -> None:
    """Catches: hours of features before a sentence, or a tuner under a name that is not its own."""
    with pytest.raises(ValidationError, match="is not an adapter of a UNet"):
        AdaptedConfig(adapt=kind)
    with pytest.raises(UsageError, match="is not an adapter of a UNet"):
        attached(small_unet(), kind)


def test_options_are_those_of_pefts_config() -> None:
    """Catches: an option that nothing reads, a value that peft would meet with a traceback."""
    rank_2, rank_4 = (attached(small_unet(), UnetAdapterKind.LOHA, r=r) for r in (2, 4))
    sizes = [sum(p.numel() for p in a.named_parameters().values()) for a in (rank_2, rank_4)]
    assert sizes[1] == 2 * sizes[0]
    with pytest.raises(UsageError, match=r"adapt_options\.rank_dropou: .*did you mean"):
        attached(small_unet(), UnetAdapterKind.LOHA, rank_dropou=0.5)
    with pytest.raises(UsageError, match="rank"):
        attached(small_unet(), UnetAdapterKind.LOHA, target_modules="to_q", rank=1)
    with pytest.raises(UsageError, match="block size should be a factor"):
        attached(small_unet(), UnetAdapterKind.C3A, block_size=7)
    assert "target_modules" not in option_names(UnetAdapterKind.LOHA)
    with pytest.raises(ValidationError, match=r"lora\.rank"):
        AdaptedConfig(adapt=UnetAdapterKind.LORA, adapt_options={"r": 4})
    with pytest.raises(UsageError, match=r"lora\.rank"):
        attach_unet_adapter(small_unet(), kind=UnetAdapterKind.SSF, options={"r": 4})


def test_defaults_fit_the_widths_of_the_unet() -> None:
    """Catches: peft's block of 256 on layers of 16, or a size that divides one width of two."""
    unet = small_unet()
    widths = {
        width
        for path, module in unet.named_modules()
        if path.endswith(TARGETS)
        for width in (module.in_features, module.out_features)
    }
    assert widths == {16, CONTEXT_DIM, 32}
    assert default_options(UnetAdapterKind.C3A, unet)["block_size"] == 8
    assert default_options(UnetAdapterKind.MISS, unet)["r"] == 16
    assert default_options(UnetAdapterKind.LOHA, unet) == {}
    assert default_options(UnetAdapterKind.C3A, torch.nn.Linear(2, 2)) == {}
