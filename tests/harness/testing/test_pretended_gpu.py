"""The GPU that is not there refuses what a real one refuses, and computes what the CPU does."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.testing.pretended_gpu import GPU, OnGpuError, pretended_gpu


def on_both(work: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    x = torch.linspace(-1, 2, 24).reshape(2, 3, 4)
    with pretended_gpu():
        found = work(x.to("cuda")).cpu()
    return found, work(x)


@pytest.mark.parametrize(
    "work",
    [
        lambda x: x @ x.transpose(1, 2) + torch.ones(3, device=x.device),
        lambda x: x[x > 0].to(torch.float64),
        lambda x: x.new_zeros(2).fill_(x.mean().item()),
        lambda x: torch.stack([row.sum() for row in x]),
        lambda x: torch.where(x > 0, x, torch.zeros_like(x)).cumsum(0),
        lambda x: x[:, torch.tensor([2, 0])],  # indices may be the CPU's
        lambda x: x.clone().mul_(2)[0].add_(1.0),
    ],
)
def test_it_computes_what_the_cpu_does(work: Callable[[Tensor], Tensor]) -> None:
    """Catches: a pretence that changes numbers, or refuses what every GPU does."""
    found, expected = on_both(work)
    assert found.dtype == expected.dtype
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("work", "sentence"),
    [
        (lambda x: x + torch.ones(4), "add got one of shape .4. on the CPU"),
        (lambda x: torch.cat([x, x.cpu()]), "cat got one of shape"),
        (lambda x: np.asarray(x), "to numpy"),
        (lambda x: x.numpy(), "to numpy"),
        (lambda x: x.uniform_(generator=torch.Generator()), "for generator"),
        (lambda x: nn.Linear(4, 2)(x), "on the CPU"),
    ],
)
def test_it_refuses_two_devices(work: Callable[[Tensor], object], sentence: str) -> None:
    """Catches: a pretence under which everything passes."""
    with pretended_gpu(), pytest.raises(OnGpuError, match=sentence):
        work(torch.ones(2, 3, 4, device="cuda"))


def test_a_module_moves_and_trains_there() -> None:
    """Catches: parameters that are other objects after the move, gradients left on the CPU."""
    module = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))
    before = list(module.parameters())
    with pretended_gpu():
        module.to("cuda")
        assert all(one is other for one, other in zip(before, module.parameters(), strict=True))
        assert {tensor.device for tensor in module.state_dict().values()} == {GPU}
        optimizer = torch.optim.AdamW(module.parameters(), lr=0.1, fused=True)
        old = module[0].weight.detach().cpu().clone()
        module(torch.randn(5, 4, device=GPU)).square().sum().backward()
        assert all(p.grad is not None and p.grad.is_cuda for p in module.parameters())
        optimizer.step()
        assert not torch.equal(module[0].weight.cpu(), old)


def test_everything_is_as_before_afterwards() -> None:
    """Catches: tests that run after one of these and meet a GPU."""
    names = ("autocast", "Generator")
    before = [getattr(torch, name) for name in names]
    with pretended_gpu():
        assert torch.cuda.is_available()
    assert [getattr(torch, name) for name in names] == before
    assert not torch.__future__.get_swap_module_params_on_conversion()
    assert type(torch.ones(2)) is Tensor


@pytest.mark.parametrize(
    ("work", "is_refused"),
    [
        (lambda x: x.cumsum(-1), True),
        (lambda x: (x > 0).cumsum(-1), False),
        (lambda x: x.median(), False),
        (lambda x: x.median(dim=0), True),
        (
            lambda x: nn.functional.interpolate(x[None], size=8, mode="linear").sum().backward(),
            True,
        ),
        (lambda x: functional.interpolate(x[None], 8).sum().backward(), False),
    ],
)
def test_operations_without_a_deterministic_form_are_refused_when_asked(
    work: Callable[[Tensor], object], is_refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a branch that ends in a traceback on its first GPU; an operation that has one."""
    with pretended_gpu():
        x = torch.ones(3, 4, device="cuda", requires_grad=True)
        work(x)
        monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
        if not is_refused:
            work(x)
            return
        with pytest.raises(OnGpuError, match="does not have a deterministic implementation"):
            work(x)


def test_a_graph_plays_operations_and_not_python() -> None:
    """Catches: a graph that runs while it is recorded, draws nothing new, or asks Python again."""
    asked = 0
    with pretended_gpu():
        x, weight, count = (torch.full((3,), 2.0, device="cuda") for _ in range(3))
        weight.requires_grad_()

        def step() -> Tensor:
            nonlocal asked
            asked += 1
            loss = (weight * x).square().sum() + asked
            (gradient,) = torch.autograd.grad(loss, weight)
            weight.data.sub_(gradient, alpha=0.01)
            count.add_(torch.rand(3, device="cuda"))
            return loss.detach().clone()

        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            loss = step()
        assert count.tolist() == [2, 2, 2]
        assert weight.tolist() == [2, 2, 2]
        x.fill_(1.0)
        graph.replay()
        assert loss.item() == pytest.approx(3 * 4 + 1)
        assert weight.tolist() == pytest.approx([2 - 0.01 * 4] * 3)
        once = count.cpu()
        graph.replay()
        assert asked == 1
        assert loss.item() < 3 * 4 + 1
        assert not torch.equal(count.cpu() - once, once - 2)  # other random numbers


@pytest.mark.parametrize(
    "work",
    [
        lambda x: x.sum().item(),
        lambda x: x.cpu(),
        lambda x: torch.ones(3).to(x.device),
        lambda x: torch.tensor([1.0], device=x.device),
        lambda x: bool((x > 0).any()),
    ],
)
def test_a_graph_refuses_to_wait_for_the_host(work: Callable[[Tensor], object]) -> None:
    """Catches: a step that no real GPU records."""
    with pretended_gpu():
        x = torch.ones(3, device="cuda")
        work(x)
        with (
            pytest.raises(RuntimeError, match="not permitted when stream is capturing"),
            torch.cuda.graph(torch.cuda.CUDAGraph()),
        ):
            work(x)
        assert work(x) is not None  # and nothing stays refused
