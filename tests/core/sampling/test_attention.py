"""Attention that is kept: which projections, from which pass, and for how long."""

import pytest
import torch
from torch import Tensor, nn

from core.choices import KeptAttention
from core.errors import UsageError
from core.sampling.attention import Attention


@pytest.fixture(scope="module")
def unet() -> nn.Module:
    """A UNet of the real kind, small and random."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    made = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=24,
        attention_head_dim=2,
        norm_num_groups=8,
    )
    return made.eval()


def latents(seed: int, *, rows: int = 1) -> Tensor:
    return torch.randn(rows, 4, 8, 8, generator=torch.Generator().manual_seed(seed))


def context(seed: int, *, rows: int = 1) -> Tensor:
    return torch.randn(rows, 5, 24, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def predicted(unet: nn.Module, x_BCHW: Tensor, context_BLC: Tensor) -> Tensor:
    found: Tensor = unet(x_BCHW, 500, encoder_hidden_states=context_BLC).sample
    return found


@pytest.mark.parametrize("kept", [kept for kept in KeptAttention if kept != KeptAttention.NONE])
def test_a_pass_attends_as_the_recorded_one_until_it_is_released(
    unet: nn.Module, kept: KeptAttention
) -> None:
    """Catches: attention that is recorded and never given, given to one row of a batch alone, or
    left in the UNet for whoever samples next."""
    source, other = latents(0), latents(1, rows=3)
    plain = predicted(unet, other, context(2, rows=3))
    with Attention(unet, kept=kept) as attention:
        with attention.recording():
            own = predicted(unet, source, context(3))
        torch.testing.assert_close(own, predicted(unet, source, context(3)))
        changed = predicted(unet, other, context(2, rows=3))
        assert ((changed - plain).abs().flatten(1).max(dim=1).values > 1e-4).all()
        attention.release()
        torch.testing.assert_close(predicted(unet, other, context(2, rows=3)), plain)
        with attention.recording():
            predicted(unet, source, context(3))
    torch.testing.assert_close(predicted(unet, other, context(2, rows=3)), plain, rtol=0, atol=0)


def test_each_choice_keeps_its_own_projections(unet: nn.Module) -> None:
    """Catches: self-attention of the encoder kept too, or values, which carry the content."""
    given: dict[str, list[Tensor]] = {}

    def note(name: str) -> None:
        def hook(module: nn.Module, args: object, output: Tensor) -> None:
            given.setdefault(name, []).append(output)

        handles.append(unet.get_submodule(name).register_forward_hook(hook))

    handles: list[torch.utils.hooks.RemovableHandle] = []
    names = [
        name
        for name, _ in unet.named_modules()
        if name.endswith(("to_q", "to_k", "to_v")) and ("attn1" in name or "attn2" in name)
    ]
    with Attention(unet, kept=KeptAttention.ALL) as attention:
        for name in names:
            note(name)
        with attention.recording():
            predicted(unet, latents(0), context(3))
        predicted(unet, latents(1), context(2))
    for handle in handles:
        handle.remove()
    same = {name for name, (one, other) in given.items() if torch.equal(one, other)}
    expected = {
        name
        for name in names
        if name.endswith("attn2.to_q")
        or (name.startswith("up_blocks.") and name.endswith(("attn1.to_q", "attn1.to_k")))
    }
    assert same == expected
    assert len(expected) == 2 * 2 + 2 + 2  # decoder: two blocks; cross: also encoder and middle


def test_a_unet_without_attention_is_refused() -> None:
    """Catches: an option that does nothing and says nothing."""
    with pytest.raises(UsageError, match="no attention that --keep self"):
        Attention(nn.Linear(1, 1), kept=KeptAttention.SELF)
    Attention(nn.Linear(1, 1), kept=KeptAttention.NONE)
