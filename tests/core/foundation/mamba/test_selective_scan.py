"""The selective scan against its mathematics, another implementation and finite differences."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from mambapy.mamba import MambaBlock as ReferenceBlock
from mambapy.mamba import MambaConfig as ReferenceConfig
from torch import Tensor

from core.foundation.mamba import selective_scan as module
from core.foundation.mamba.selective_scan import ScanKind, scan_kind, selective_scan

IN_TORCH = (ScanKind.LOOP, ScanKind.CHUNKED)


def scan_inputs(
    *, steps: int = 7, channels: int = 5, state: int = 3, dtype: torch.dtype = torch.float64
) -> dict[str, Tensor]:
    """Inputs of two directions and three rows, within the ranges a trained mixer has."""
    draws = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draws, dtype=torch.float64).to(dtype)

    return {
        "x_GBLE": normal(2, 3, steps, channels),
        "dt_GBLE": normal(2, 3, steps, channels).exp() * 0.1,
        "A_GES": -normal(2, channels, state).exp(),
        "B_GBLS": normal(2, 3, steps, state),
        "C_GBLS": normal(2, 3, steps, state),
        "D_GE": normal(2, channels),
    }


def sequential_scan(inputs: dict[str, Tensor]) -> Tensor:
    """The recurrence of the paper, one scalar state at a time, in float64."""
    x, dt, A, B, C, D = (tensor.double() for tensor in inputs.values())
    y = torch.zeros_like(x)
    for g in range(x.shape[0]):
        for b in range(x.shape[1]):
            for e in range(x.shape[3]):
                state = torch.zeros(A.shape[-1], dtype=torch.float64)
                for t in range(x.shape[2]):
                    decay = torch.exp(dt[g, b, t, e] * A[g, e])
                    state = decay * state + dt[g, b, t, e] * B[g, b, t] * x[g, b, t, e]
                    y[g, b, t, e] = state @ C[g, b, t] + D[g, e] * x[g, b, t, e]
    return y


@pytest.mark.parametrize("kind", IN_TORCH)
@pytest.mark.parametrize("steps", [7, 40])
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_scan_is_the_recurrence_of_the_paper(
    dtype: torch.dtype, atol: float, steps: int, kind: ScanKind
) -> None:
    """Catches: a step that reads the state before or after its turn, or groups mixed up."""
    inputs = scan_inputs(steps=steps, dtype=dtype)
    got = selective_scan(**inputs, kind=kind)
    assert got.dtype == dtype
    assert torch.allclose(got.double(), sequential_scan(inputs), atol=atol)


@pytest.mark.parametrize("kind", IN_TORCH)
@pytest.mark.parametrize("steps", [1, 4, 11])
def test_scan_has_the_gradients_of_finite_differences(steps: int, kind: ScanKind) -> None:
    """Catches: an error in the written-out adjoint, for any of the six inputs."""
    inputs = scan_inputs(steps=steps, channels=2, state=2)
    names = list(inputs)
    tensors = tuple(tensor.requires_grad_() for tensor in inputs.values())
    assert torch.autograd.gradcheck(
        lambda *values: selective_scan(**dict(zip(names, values, strict=True)), kind=kind), tensors
    )


@pytest.mark.parametrize("steps", [1, 64, 513])
def test_chunks_side_by_side_give_what_the_loop_gives(steps: int) -> None:
    """Catches: a state lost or counted twice where chunks meet, or in a last one that is padded."""
    inputs = scan_inputs(steps=steps, channels=4, state=8, dtype=torch.float32)
    for tensor in inputs.values():
        tensor.requires_grad_()
    results = []
    for kind in IN_TORCH:
        y = selective_scan(**inputs, kind=kind)
        weights = torch.linspace(-1, 1, y.numel()).view_as(y)
        results.append([y, *torch.autograd.grad((y * weights).sum(), list(inputs.values()))])
    for loop, chunked in zip(*results, strict=True):
        scale = max(1.0, float(loop.detach().abs().max()))
        assert torch.allclose(loop, chunked, rtol=1e-5, atol=1e-5 * scale)


def test_long_steps_overflow_no_chunk() -> None:
    """Catches: decays divided out of a cumulative product, which float32 cannot hold."""
    inputs = scan_inputs(steps=200, dtype=torch.float32)
    inputs["dt_GBLE"] = inputs["dt_GBLE"] * 1e3
    loop, chunked = (selective_scan(**inputs, kind=kind) for kind in IN_TORCH)
    assert torch.isfinite(chunked).all()
    assert torch.allclose(loop, chunked, rtol=1e-4, atol=1e-3)


def test_the_device_decides_the_kind(mamba_ssm: ModuleType) -> None:
    """Catches: a GPU that loops over 512 steps, or a kernel that is there and not used."""
    assert (scan_kind("cpu"), scan_kind("cuda")) == (ScanKind.LOOP, ScanKind.MAMBA_SSM)
    module.has_fused_kernel.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.importlib.util, "find_spec", lambda name: None)
        for works, kind in ((True, ScanKind.TRITON), (False, ScanKind.CHUNKED)):
            patch.setattr(module, "triton_works", lambda works=works: works)
            assert scan_kind("cuda") is kind
    module.has_fused_kernel.cache_clear()


@pytest.fixture
def triton_scan(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Puts a scan of one's own in the place of Triton's, with Triton installed or not."""

    def put(scan: Callable[..., Tensor]) -> None:
        monkeypatch.setattr(module, "_triton_scan", scan)

    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: name)
    module.triton_works.cache_clear()
    yield put
    module.triton_works.cache_clear()


def test_a_scan_that_is_right_is_used(triton_scan: Callable[..., None]) -> None:
    """Catches: a check that no kernel passes, and chunks for ever."""
    triton_scan(module._in_torch(ScanKind.CHUNKED))
    assert module.triton_works("cpu")


@pytest.mark.parametrize("is_wrong", [True, False], ids=["wrong", "not compiled"])
def test_a_scan_that_fails_on_this_card_is_not_used(
    is_wrong: bool, triton_scan: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    """Catches: wrong scores, or a crash, on a card that the kernel was never tried on."""

    def scan(*inputs: Tensor) -> Tensor:
        if not is_wrong:
            raise ValueError("no code for this card")
        return module._in_torch(ScanKind.CHUNKED)(*inputs) * 1.001

    triton_scan(scan)
    assert not module.triton_works("cpu")
    said = "is off by" if is_wrong else "no code for this card"
    assert said in caplog.text


def test_scan_agrees_with_mambapy_forwards_and_backwards() -> None:
    """Catches: a convention of ours (signs, axes, D) that differs from everyone else's."""
    inputs = scan_inputs(steps=19, channels=8, state=4, dtype=torch.float32)
    for tensor in inputs.values():
        tensor.requires_grad_()
    block = ReferenceBlock(ReferenceConfig(d_model=4, n_layers=1, d_state=4))
    ours = selective_scan(**inputs)
    theirs = torch.stack(
        [
            block.selective_scan(x, dt, A, B, C, D)
            for x, dt, A, B, C, D in zip(*inputs.values(), strict=True)
        ]
    )
    assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    weights = torch.linspace(-1, 1, ours.numel()).view_as(ours)
    ours_grads = torch.autograd.grad((ours * weights).sum(), list(inputs.values()))
    theirs_grads = torch.autograd.grad((theirs * weights).sum(), list(inputs.values()))
    for ours_grad, theirs_grad in zip(ours_grads, theirs_grads, strict=True):
        assert torch.allclose(ours_grad, theirs_grad, rtol=1e-3, atol=1e-5)


def test_low_precision_input_is_scanned_in_float32() -> None:
    """Catches: a state kept in bfloat16 or under autocast, which forgets within a few steps."""
    inputs = scan_inputs(steps=33, dtype=torch.bfloat16)
    exact = sequential_scan(inputs)
    got = selective_scan(**inputs)
    assert got.dtype == torch.bfloat16
    assert torch.allclose(got.double(), exact, rtol=2**-7, atol=1e-3)
    full = {name: tensor.float() for name, tensor in inputs.items()}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = selective_scan(**full)
    assert torch.allclose(under.double(), sequential_scan(full), atol=1e-5)


STAND_IN = """
import torch

calls = 0


def selective_scan_fn(u, delta, A, B, C, D):
    # Of selective_scan_ref: u, delta [batch, dim, length], A [dim, state], B, C [batch, state,
    # length], D [dim].
    global calls
    calls += 1
    state = u.new_zeros(*u.shape[:2], A.shape[1])
    outputs = []
    for t in range(u.shape[2]):
        decay = torch.exp(delta[:, :, t, None] * A)
        drive = delta[:, :, t, None] * B[:, None, :, t] * u[:, :, t, None]
        state = decay * state + drive
        outputs.append((state * C[:, None, :, t]).sum(-1) + D * u[:, :, t])
    return torch.stack(outputs, dim=-1)
"""


@pytest.fixture
def mamba_ssm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A package of that name which can be imported; yields the module that holds the kernel."""
    folder = tmp_path / "mamba_ssm" / "ops"
    folder.mkdir(parents=True)
    for package in (folder.parent, folder):
        (package / "__init__.py").write_text("")
    (folder / "selective_scan_interface.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    module.has_fused_kernel.cache_clear()
    yield importlib.import_module("mamba_ssm.ops.selective_scan_interface")
    module.has_fused_kernel.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] == "mamba_ssm"]:
        del sys.modules[name]


def test_cpu_tensors_stay_off_an_importable_kernel(mamba_ssm: ModuleType) -> None:
    """Catches: dispatch at import, which sends CPU tensors to CUDA kernels once they are there."""
    assert module.has_fused_kernel()
    inputs = scan_inputs()
    assert torch.allclose(selective_scan(**inputs), sequential_scan(inputs))
    assert mamba_ssm.calls == 0


def test_kernel_is_handed_its_own_layout(mamba_ssm: ModuleType) -> None:
    """Catches: axes that only a GPU would show to be swapped."""
    inputs = scan_inputs(dtype=torch.float32)
    got = module._fused_scan(*inputs.values())
    assert mamba_ssm.calls == 2
    assert torch.allclose(got.double(), sequential_scan(inputs), atol=1e-5)


def test_a_gpu_without_kernels_says_so_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a slow fallback that nobody hears of."""
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    module.triton_works.cache_clear()
    assert [module.triton_works(), module.triton_works()] == [False, False]
    module.triton_works.cache_clear()
    assert caplog.text.count("Triton and mamba-ssm are not installed") == 1
