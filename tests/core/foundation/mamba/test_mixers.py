"""The mixers against other implementations of one direction, and each other's failures."""

from collections.abc import Callable

import pytest
import torch
from mambapy.mamba import MambaBlock as ReferenceBlock
from mambapy.mamba import MambaConfig as ReferenceConfig
from torch import Tensor, nn
from torch.nn import functional
from transformers import Mamba2Config, MambaConfig
from transformers.models.mamba.modeling_mamba import MambaMixer
from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer as StockMamba2Mixer

from core.foundation.mamba import mixers
from core.foundation.mamba.config import MambaEncoderConfig
from core.foundation.mamba.mixers import MIXERS, Direction, Mamba2Mixer, MixerV1, MixerV2
from core.foundation.mamba.selective_scan import selective_scan
from core.randomness import torch_seeded

WIDTH, STATE = 8, 4


def config(block: str) -> MambaEncoderConfig:
    head_dim = 4 if block == "mamba2" else None
    return MambaEncoderConfig(
        log_mel=(16, 16), width=WIDTH, depth=2, state_dim=STATE, block=block, head_dim=head_dim
    )


@pytest.fixture(name="x_BLW")
def tokens() -> Tensor:
    return torch.randn(2, 9, WIDTH, generator=torch.Generator().manual_seed(1))


def mixer_of(block: str) -> nn.Module:
    with torch_seeded(0, "test", block):
        return MIXERS[config(block).block](config(block)).eval()


def both_ways(stock: list[Callable[[Tensor], Tensor]], x_BLW: Tensor) -> Tensor:
    """The identity that defines v2, by hand."""
    return (stock[0](x_BLW) + stock[1](x_BLW.flip(1)).flip(1)) / 2


def test_v2_is_two_mixers_of_mambapy_with_shared_projections(x_BLW: Tensor) -> None:
    """Catches: a direction not flipped back, a gate that is not flipped, a sum for a mean."""
    mixer = mixer_of("v2")
    assert isinstance(mixer, MixerV2)
    settings = ReferenceConfig(d_model=WIDTH, n_layers=1, d_state=STATE, d_conv=4, pscan=False)
    stock = []
    for direction in mixer.directions:
        block = ReferenceBlock(settings)
        block.load_state_dict({**direction.state_dict(), **outer(mixer)}, strict=True)
        stock.append(block)
    assert torch.allclose(mixer(x_BLW), both_ways(stock, x_BLW), atol=1e-6)


def test_v2_is_two_mixers_of_transformers_with_tied_projections(x_BLW: Tensor) -> None:
    """Catches: a convention that differs from the mixer most checkpoints are read with."""
    mixer = mixer_of("v2")
    settings = MambaConfig(
        hidden_size=WIDTH, state_size=STATE, conv_kernel=4, expand=2, num_hidden_layers=1
    )
    stock = []
    for direction in mixer.directions:
        theirs = MambaMixer(settings, layer_idx=0).eval()
        theirs.load_state_dict({**direction.state_dict(), **outer(mixer)}, strict=True)
        stock.append(theirs)
    with torch.no_grad():
        assert torch.allclose(mixer(x_BLW), both_ways(stock, x_BLW), atol=1e-6)


def test_mamba2_is_two_mixers_of_transformers_with_tied_projections_and_norm(
    x_BLW: Tensor,
) -> None:
    """Catches: parts of in_proj in another order, a gate behind the norm, dt without its bias."""
    mixer = mixer_of("mamba2")
    assert isinstance(mixer, Mamba2Mixer)
    with torch.no_grad():
        mixer.norm.weight.uniform_(0.5, 1.5)
    settings = Mamba2Config(
        hidden_size=WIDTH,
        state_size=STATE,
        conv_kernel=4,
        expand=2,
        head_dim=4,
        num_heads=4,
        n_groups=1,
        chunk_size=4,
        num_hidden_layers=1,
    )
    stock = []
    for direction in mixer.directions:
        theirs = StockMamba2Mixer(settings, layer_idx=0).eval()
        tied = {**direction.state_dict(), **outer(mixer), "norm.weight": mixer.norm.weight}
        theirs.load_state_dict(tied, strict=True)
        stock.append(theirs)
    with torch.no_grad():
        assert torch.allclose(mixer(x_BLW), both_ways(stock, x_BLW), atol=1e-6)


def test_v1_scans_one_convolution_both_ways_and_adds(x_BLW: Tensor) -> None:
    """Catches: a second convolution over the flipped input, a mean, or D counted once."""
    mixer = mixer_of("v1")
    assert isinstance(mixer, MixerV1)
    with torch.no_grad():
        mixer.A_b_log.add_(0.3)
    shared = mixer.shared
    x_BLE, gate_BLE = mixer.in_proj(x_BLW).chunk(2, dim=-1)
    causal = shared.conv1d(functional.pad(x_BLE.mT, (3, 0))).mT
    x_BLE = functional.silu(causal)
    dt, B, C = shared.x_proj(x_BLE).split([mixer.dt_rank, STATE, STATE], dim=-1)
    dt = functional.softplus(shared.dt_proj(dt))

    def scan(*tensors: Tensor, rates: Tensor) -> Tensor:
        x, steps, b, c = (tensor[None] for tensor in tensors)
        A = -rates.exp()[None]
        y = selective_scan(x, dt_GBLE=steps, A_GES=A, B_GBLS=b, C_GBLS=c, D_GE=shared.D[None])
        return y[0]

    ahead = scan(x_BLE, dt, B, C, rates=shared.A_log)
    flipped = (tensor.flip(1) for tensor in (x_BLE, dt, B, C))
    back = scan(*flipped, rates=mixer.A_b_log).flip(1)
    expected = mixer.out_proj((ahead + back) * functional.silu(gate_BLE))
    assert torch.allclose(mixer(x_BLW), expected, atol=1e-6)


@pytest.mark.parametrize("block", ["v1", "v2", "mamba2"])
@pytest.mark.parametrize(("moved", "seen"), [(-1, 0), (0, -1)])
def test_every_end_of_the_sequence_hears_the_other(
    block: str, moved: int, seen: int, x_BLW: Tensor
) -> None:
    """Catches: a mixer that runs in one direction only."""
    mixer = mixer_of(block)
    changed = x_BLW.clone()
    changed[:, moved] += 1.0
    difference = (mixer(changed) - mixer(x_BLW)).abs().amax(dim=(0, 2))
    assert difference[seen] > 1e-7


@pytest.mark.parametrize("block", ["v1", "v2", "mamba2"])
def test_every_parameter_of_a_mixer_gets_a_gradient(block: str, x_BLW: Tensor) -> None:
    """Catches: a part that is built and not used, such as the backward direction's A."""
    mixer = mixer_of(block)
    mixer(x_BLW).square().sum().backward()
    for name, parameter in mixer.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_fresh_step_sizes_lie_in_their_range(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a bias that is not the inverse of softplus, so that a mixer starts deaf or blind."""
    # Far from 0, where softplus and exp differ.
    monkeypatch.setattr(mixers, "DT_MIN", 2.0)
    monkeypatch.setattr(mixers, "DT_MAX", 8.0)
    with torch_seeded(0, "test", "direction"):
        direction = Direction(64, state_dim=4, conv_width=4, dt_rank=2)
    steps = functional.softplus(direction.dt_proj.bias).detach()
    assert 2.0 <= steps.min() < 2.5
    assert 6.5 < steps.max() <= 8.0


def outer(mixer: nn.Module) -> dict[str, Tensor]:
    """The projections that both directions share."""
    names = ("in_proj.weight", "out_proj.weight")
    return {name: mixer.get_parameter(name).detach() for name in names}
