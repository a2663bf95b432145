"""The seams of attn2: what they compute, and that they compute nothing where there is no sound."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional

from core.conditioning.attention import (
    AudioProcessor,
    DecoupledAttention,
    DecoupledKeyValue,
    GatedCrossAttention,
    GatedResidualAttention,
    JointAttention,
    attention_to_few,
    masked_attention,
    split_heads,
)
from core.conditioning.attention_variant import InstalledProcessors
from core.conditioning.conditioning import Conditioning
from core.conditioning.gates import SigmoidGate
from core.conditioning.shapes import BlockShape, block_shapes
from core.errors import GuardError, MismatchError
from core.randomness import torch_seeded

Predict = Callable[[Tensor], Tensor]
SEAMS = ("joint", "decoupled", "residual")


class Seam:
    """One kind of seam built for every block, its layers kept in `layers`."""

    def __init__(self, kind: str, unet: UNet2DConditionModel, *, gate: float = 0.5) -> None:
        self.layers = nn.ModuleDict()
        self.processors: dict[str, AudioProcessor] = {}
        with torch_seeded(0, "test", kind):
            if kind == "joint":
                self.layers["gate"] = SigmoidGate(gate)
            for index, block in enumerate(block_shapes(unet)):
                self.processors[block.path] = self._processor(kind, index, block, gate)

    def _processor(self, kind: str, index: int, block: BlockShape, gate: float) -> AudioProcessor:
        if kind == "joint":
            return JointAttention(self.layers["gate"], num_text_tokens=6)
        if kind == "decoupled":
            layer = DecoupledKeyValue(block, context_dim=64, gate_init=gate)
            self.layers[str(index)] = layer
            return DecoupledAttention(layer, num_text_tokens=6)
        cross = GatedCrossAttention(block, context_dim=64, gate_init=gate)
        self.layers[str(index)] = cross
        return GatedResidualAttention(cross, num_text_tokens=6)


@pytest.mark.parametrize("kind", SEAMS)
def test_text_only_context_is_bit_equal(
    kind: str, unet: UNet2DConditionModel, predict: Predict, text_BLC: Tensor
) -> None:
    """Catches: a seam that touches the text path, so the text-only control is another model."""
    plain = predict(text_BLC)
    InstalledProcessors(unet, Seam(kind, unet).processors)
    assert torch.equal(predict(text_BLC), plain)


@pytest.mark.parametrize("kind", SEAMS)
def test_rows_without_audio_get_the_plain_output_and_the_others_do_not(
    kind: str, unet: UNet2DConditionModel, predict: Predict, text_BLC: Tensor, audio_BNC: Tensor
) -> None:
    """Catches: dropped audio that still leaks through a bias, a norm or a softmax over zeros."""
    plain = predict(text_BLC)
    InstalledProcessors(unet, Seam(kind, unet).processors)
    drop_B = torch.tensor([True, False, True])
    context = Conditioning(text_BLC, audio_BNC).with_audio_dropped(drop_B).context()
    moved_B = (predict(context) - plain).abs().amax(dim=(1, 2, 3))
    assert moved_B[drop_B].max() < 1e-6
    assert moved_B[~drop_B].min() > 1e-3


@pytest.mark.parametrize("kind", SEAMS)
def test_absent_tokens_equal_a_shorter_sequence(
    kind: str, unet: UNet2DConditionModel, predict: Predict, text_BLC: Tensor, audio_BNC: Tensor
) -> None:
    """Catches: padding tokens that take a share of the softmax."""
    InstalledProcessors(unet, Seam(kind, unet).processors)
    mask_BN = torch.tensor([True, True, True, False]).expand(3, -1)
    padded = predict(Conditioning(text_BLC, audio_BNC, mask_BN).context())
    shorter = predict(Conditioning(text_BLC, audio_BNC[:, :3]).context())
    assert torch.allclose(padded, shorter, atol=1e-6)


@pytest.mark.parametrize("kind", SEAMS)
def test_scale_zero_is_text_only_and_scale_one_is_not(
    kind: str, unet: UNet2DConditionModel, predict: Predict, text_BLC: Tensor, audio_BNC: Tensor
) -> None:
    """Catches: an inference scale that is not a factor on the gate."""
    plain = predict(text_BLC)
    installed = InstalledProcessors(unet, Seam(kind, unet).processors)
    context = Conditioning(text_BLC, audio_BNC).context()
    heard = predict(context)
    installed.set_scale(0.0)
    assert torch.equal(predict(context), plain)
    installed.set_scale(1.0)
    assert torch.equal(predict(context), heard)
    assert (heard - plain).abs().max() > 1e-3


@pytest.mark.parametrize("kind", SEAMS)
def test_every_layer_and_gate_gets_a_finite_gradient_that_is_not_zero(
    kind: str, unet: UNet2DConditionModel, predict: Predict, text_BLC: Tensor, audio_BNC: Tensor
) -> None:
    """Catches: a module built but not in the graph; NaN from a row without any audio."""
    seam = Seam(kind, unet)
    InstalledProcessors(unet, seam.processors)
    drop_B = torch.tensor([True, False, False])
    audio_BNC.requires_grad_()
    context = Conditioning(text_BLC, audio_BNC).with_audio_dropped(drop_B).context()
    predict(context).square().sum().backward()
    for name, parameter in seam.layers.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name
    assert torch.isfinite(audio_BNC.grad).all()
    assert audio_BNC.grad[0].abs().max() == 0
    assert audio_BNC.grad[1:].abs().max() > 0


@pytest.mark.parametrize("kind", ["decoupled", "residual"])
def test_tanh_gate_at_zero_is_the_identity_and_still_gets_a_gradient(
    kind: str, unet: UNet2DConditionModel, predict: Predict, text_BLC: Tensor, audio_BNC: Tensor
) -> None:
    """Catches: a zero-initialised block that is not the identity, or that can never open."""
    plain = predict(text_BLC)
    seam = Seam(kind, unet, gate=0.0)
    InstalledProcessors(unet, seam.processors)
    heard = predict(Conditioning(text_BLC, audio_BNC).context())
    assert torch.allclose(heard, plain, atol=1e-6)
    heard.square().sum().backward()
    gates = [p for n, p in seam.layers.named_parameters() if "gate" in n]
    assert all(gate.grad.abs() > 0 for gate in gates)


def test_joint_gate_shut_is_text_only_without_nan(
    unet: UNet2DConditionModel, predict: Predict, text_BLC: Tensor, audio_BNC: Tensor
) -> None:
    """Catches: log 0 turning values or gradients into NaN."""
    plain = predict(text_BLC)
    seam = Seam("joint", unet)
    with torch.no_grad():
        seam.layers["gate"].raw.fill_(-math.inf)
    InstalledProcessors(unet, seam.processors)
    audio_BNC.requires_grad_()
    heard = predict(Conditioning(text_BLC, audio_BNC).context())
    assert torch.allclose(heard, plain, atol=1e-6)
    heard.square().sum().backward()
    assert torch.isfinite(seam.layers["gate"].raw.grad)
    assert torch.isfinite(audio_BNC.grad).all()


def test_joint_gate_multiplies_the_audio_weights(
    unet: UNet2DConditionModel, text_BLC: Tensor, audio_BNC: Tensor
) -> None:
    """Catches: a gate on the values, the scores, or both sides of the softmax."""
    block = unet.mid_block.attentions[0].transformer_blocks[0]
    path = "mid_block.attentions.0.transformer_blocks.0"
    InstalledProcessors(unet, {path: JointAttention(SigmoidGate(0.3), num_text_tokens=6)})
    x_BQW = torch.randn(3, 5, 64, generator=torch.Generator().manual_seed(3))
    context_BKC = torch.cat([text_BLC, audio_BNC], dim=1)
    attn = block.attn2
    query, key, value = (
        split_heads(tensor, num_heads=attn.heads)
        for tensor in (attn.to_q(x_BQW), attn.to_k(context_BKC), attn.to_v(context_BKC))
    )
    weights = torch.exp(query @ key.mT * key.shape[-1] ** -0.5)
    weights[..., 6:] *= 0.3
    attended = (weights / weights.sum(-1, keepdim=True)) @ value
    expected = attn.to_out[0](attended.transpose(1, 2).reshape(3, 5, 64))
    assert torch.allclose(attn(x_BQW, context_BKC), expected, atol=1e-5)


@pytest.mark.parametrize("kind", SEAMS)
def test_no_attention_has_to_differentiate_its_mask(
    kind: str,
    unet: UNet2DConditionModel,
    predict: Predict,
    text_BLC: Tensor,
    audio_BNC: Tensor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catches: a gate in the mask, whose gradient CUDA's memory-efficient attention cannot give."""
    seam = Seam(kind, unet)
    InstalledProcessors(unet, seam.processors)
    masks: list[Tensor] = []
    attend = functional.scaled_dot_product_attention

    def watched(*args: Tensor, attn_mask: Tensor | None = None, **words: Any) -> Tensor:
        if attn_mask is not None:
            masks.append(attn_mask)
        return attend(*args, attn_mask=attn_mask, **words)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", watched)
    predict(Conditioning(text_BLC, audio_BNC).context()).square().sum().backward()
    assert masks
    assert not any(mask.requires_grad for mask in masks)
    assert all(p.grad is not None for n, p in seam.layers.named_parameters() if "gate" in n)


def test_decoupled_attention_adds_gated_audio_before_the_output_projection(
    unet: UNet2DConditionModel, text_BLC: Tensor, audio_BNC: Tensor
) -> None:
    """Catches: audio added behind to_out (twice the bias) or read with a query of its own."""
    seam = Seam("decoupled", unet, gate=0.7)
    path = "mid_block.attentions.0.transformer_blocks.0"
    layer = seam.processors[path].layer
    attn = unet.get_submodule(path).attn2
    x_BQW = torch.randn(3, 5, 64, generator=torch.Generator().manual_seed(3))

    def attend(key: Tensor, value: Tensor) -> Tensor:
        heads = [split_heads(t, num_heads=attn.heads) for t in (attn.to_q(x_BQW), key, value)]
        scores = heads[0] @ heads[1].mT * heads[1].shape[-1] ** -0.5
        return (scores.softmax(-1) @ heads[2]).transpose(1, 2).reshape(3, 5, 64)

    text = attend(attn.to_k(text_BLC), attn.to_v(text_BLC))
    audio = attend(layer.audio_k(audio_BNC), layer.audio_v(audio_BNC))
    expected = attn.to_out[0](text + math.tanh(0.7) * audio)
    InstalledProcessors(unet, {path: seam.processors[path]})
    got = attn(x_BQW, torch.cat([text_BLC, audio_BNC], dim=1))
    assert torch.allclose(got, expected, atol=1e-5)


def test_residual_attention_reads_the_stream_after_attn2_and_before_the_feed_forward(
    unet: UNet2DConditionModel, text_BLC: Tensor, audio_BNC: Tensor
) -> None:
    """Catches: audio that reads norm2(h), or h before attn2, or joins behind the feed-forward."""
    seam = Seam("residual", unet, gate=0.7)
    path = "mid_block.attentions.0.transformer_blocks.0"
    block, layer = unet.get_submodule(path), seam.processors[path].layer
    x_BQW = torch.randn(3, 5, 64, generator=torch.Generator().manual_seed(3))
    present_BN = torch.ones(3, 4, dtype=torch.bool)
    h = x_BQW + block.attn1(block.norm1(x_BQW))
    h = h + block.attn2(block.norm2(h), text_BLC)
    h = h + math.tanh(0.7) * layer(h, audio_BNC=audio_BNC, present_BN=present_BN)
    expected = h + block.ff(block.norm3(h))
    InstalledProcessors(unet, {path: seam.processors[path]})
    got = block(x_BQW, encoder_hidden_states=torch.cat([text_BLC, audio_BNC], dim=1))
    assert torch.allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("kind", SEAMS)
def test_gradient_checkpointing_changes_no_gradient(
    kind: str, unet: UNet2DConditionModel, predict: Predict, text_BLC: Tensor, audio_BNC: Tensor
) -> None:
    """Catches: a residual handed over once but read twice, in the forward and its recomputation."""
    seam = Seam(kind, unet)
    InstalledProcessors(unet, seam.processors)
    context = Conditioning(text_BLC, audio_BNC).context()
    unet.train()
    gradients = []
    for is_checkpointed in (False, True):
        if is_checkpointed:
            unet.enable_gradient_checkpointing()
        seam.layers.zero_grad()
        predict(context).square().sum().backward()
        gradients.append([p.grad.clone() for p in seam.layers.parameters()])
    for direct, checkpointed in zip(*gradients, strict=True):
        assert torch.allclose(direct, checkpointed, rtol=1e-4, atol=1e-5)


def test_no_residual_stays_behind_after_a_call(
    unet: UNet2DConditionModel, predict: Predict, text_BLC: Tensor, audio_BNC: Tensor
) -> None:
    """Catches: a kept tensor that holds a whole autograd graph in memory between steps."""
    seam = Seam("residual", unet)
    InstalledProcessors(unet, seam.processors)
    for context in (text_BLC, Conditioning(text_BLC, audio_BNC).context()):
        predict(context)
        assert all(p.residual_BQW is None for p in seam.processors.values())


@pytest.mark.parametrize("kind", SEAMS)
def test_unet_keeps_its_state_dict_and_gets_its_processors_back(
    kind: str, unet: UNet2DConditionModel, predict: Predict, text_BLC: Tensor
) -> None:
    """Catches: layers registered in the UNet, hooks or processors left behind by detaching."""
    keys, plain = list(unet.state_dict()), predict(text_BLC)
    before = dict(unet.attn_processors)
    installed = InstalledProcessors(unet, Seam(kind, unet).processors)
    assert list(unet.state_dict()) == keys
    installed.remove()
    assert unet.attn_processors == before
    assert not any(module._forward_pre_hooks for module in unet.modules())
    assert torch.equal(predict(text_BLC), plain)


def test_second_installation_is_refused_and_changes_nothing(unet: UNet2DConditionModel) -> None:
    """Catches: two branches listening at once, each taking the other for the plain attention."""
    InstalledProcessors(unet, Seam("joint", unet).processors)
    before = dict(unet.attn_processors)
    with pytest.raises(GuardError, match="already listens"):
        InstalledProcessors(unet, Seam("decoupled", unet).processors)
    assert unet.attn_processors == before


def test_cross_attention_with_features_we_do_not_compute_is_refused(
    unet: UNet2DConditionModel,
) -> None:
    """Catches: a query norm silently left out on another backbone."""
    unet.mid_block.attentions[0].transformer_blocks[0].attn2.norm_q = nn.LayerNorm(16)
    with pytest.raises(MismatchError, match="norm_q"):
        InstalledProcessors(unet, Seam("joint", unet).processors)


def test_attention_mask_beside_audio_is_refused(
    unet: UNet2DConditionModel, text_BLC: Tensor, audio_BNC: Tensor
) -> None:
    """Catches: a mask of the packed context that is silently not applied."""
    InstalledProcessors(unet, Seam("joint", unet).processors)
    context = Conditioning(text_BLC, audio_BNC).context()
    with pytest.raises(ValueError, match="encoder_attention_mask"):
        unet(
            torch.zeros(3, 4, 8, 8),
            torch.zeros(3),
            context,
            encoder_attention_mask=torch.ones(3, context.shape[1]),
        )


@pytest.mark.parametrize("kind", SEAMS)
def test_float32_layers_work_in_a_bfloat16_unet(
    kind: str, unet: UNet2DConditionModel, predict: Predict, text_BLC: Tensor, audio_BNC: Tensor
) -> None:
    """Catches: trainable layers that must be bfloat16 to run, which swallows small updates."""
    seam = Seam(kind, unet)
    InstalledProcessors(unet, seam.processors)
    unet.to(torch.bfloat16)
    out = predict(Conditioning(text_BLC, audio_BNC).context())
    assert out.dtype == torch.bfloat16
    out.float().square().sum().backward()
    assert all(p.dtype == p.grad.dtype == torch.float32 for p in seam.layers.parameters())


def test_attention_over_no_token_is_zero_with_zero_gradient() -> None:
    """Catches: a softmax over nothing, NaN forwards or backwards."""
    query, key, value = (torch.randn(2, 1, 3, 4, requires_grad=True) for _ in range(3))
    present_BN = torch.tensor([[False] * 3, [True] * 3])
    keep = present_BN[:, None, :, None]
    out = masked_attention(
        query, key_BHNE=key * keep, value_BHNE=value * keep, present_BN=present_BN
    )
    assert torch.equal(out[0], torch.zeros(1, 3, 4))
    out.square().sum().backward()
    for tensor in (query, key, value):
        assert torch.equal(tensor.grad[0], torch.zeros(1, 3, 4))
        assert torch.isfinite(tensor.grad).all()


def test_attention_written_out_for_a_gpu_is_the_same() -> None:
    """Catches: a scale left out, or a mask the wrong way round, where no CPU run would show it."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((3, 2, 20, 8), (3, 2, 5, 8), (3, 2, 5, 8))
    drawn = [torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes]
    present_BN = torch.tensor([[1, 1, 1, 1, 1], [1, 0, 1, 0, 0], [0, 0, 0, 0, 0]], dtype=torch.bool)
    drawn[1], drawn[2] = (t * present_BN[:, None, :, None] for t in drawn[1:])
    results = []
    for attend in (masked_attention, attention_to_few):
        query, key, value = (tensor.clone().requires_grad_() for tensor in drawn)
        y = attend(query, key_BHNE=key, value_BHNE=value, present_BN=present_BN)
        weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
        results.append([y, *torch.autograd.grad(y, (query, key, value), weights)])
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other, atol=1e-5)  # its softmax is in float32
