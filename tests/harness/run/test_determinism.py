"""What makes a run on a GPU give the same bits twice, as far as it shows without one."""

import os
from collections.abc import Iterator

import pytest
import torch

from harness.run.determinism import determinism_facts, determinism_notices, set_determinism


@pytest.fixture
def kept() -> Iterator[None]:
    """Torch's switches and the variable, put back."""
    workspace = os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.deterministic = False
    torch.backends.cuda.enable_cudnn_sdp(True)
    os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
    if workspace is not None:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = workspace


def test_a_gpu_gets_kernels_in_a_fixed_order_and_a_cpu_is_left_alone(kept: None) -> None:
    """Catches: a switch that is recorded and set nowhere, or a workspace that cuBLAS refuses."""
    set_determinism(True, device="cpu")
    assert not torch.are_deterministic_algorithms_enabled()
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    set_determinism(True, device="cuda")
    assert torch.are_deterministic_algorithms_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert not torch.backends.cuda.cudnn_sdp_enabled()
    set_determinism(False, device="cuda")
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_reader_is_told_where_pairing_by_seed_is_approximate() -> None:
    """Catches: a difference of kernels read as one of branches."""
    assert determinism_notices(True, device="cuda") == []
    assert determinism_notices(False, device="cpu") == []
    assert "approximate" in determinism_notices(False, device="cuda")[0]
    assert determinism_facts(False, device="cuda") == {"deterministic": "no"}
    assert determinism_facts(False, device="cpu") == {"deterministic": "yes"}
