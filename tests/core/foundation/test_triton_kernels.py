"""The Triton kernels themselves, interpreted on the CPU; Triton is not there on every machine.

`make gpu-check` runs them compiled, at full size.
"""

import importlib.util
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton comes with torch for CUDA"
)

CHECK = """
import torch
from core.foundation.fused import blocks, triton_kernels
from core.foundation.mamba.selective_scan import triton_works
blocks._TOLERANCES = {torch.float32: 1e-5}
assert blocks.agrees(triton_kernels, device="cpu")
assert triton_works("cpu")
"""


def test_the_kernels_compute_what_torch_does() -> None:
    """Catches: a wrong offset, a sum over too few rows, or an adjoint that is not the forward's."""
    environment = {**os.environ, "TRITON_INTERPRET": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CHECK], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
