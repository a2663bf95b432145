"""A whole run on a GPU that is not there: what stayed on the CPU is refused, as by a real one."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from core.errors import GuardError
from harness.run.plan import RunRequest
from harness.run.run import run
from harness.testing.pretended_gpu import pretended_gpu
from harness.wording.display import Display
from variants.baseline import VARIANT as BASELINE

LONGER = ("stage1.steps=7", "stage2.steps=7", "stage3.steps=6")
"""Three steps of a stage are made before one is recorded."""


@pytest.fixture
def gpu() -> Iterator[None]:
    """Kernels are chosen for the process, and as they were afterwards."""
    was_deterministic = torch.are_deterministic_algorithms_enabled()
    fills = torch.utils.deterministic.fill_uninitialized_memory
    with pretended_gpu():
        yield
    torch.use_deterministic_algorithms(was_deterministic)
    torch.utils.deterministic.fill_uninitialized_memory = fills  # type: ignore[attr-defined]


@pytest.mark.parametrize("variant", ["baseline", "sonic", "cutting_edge"])
def test_a_branch_is_trained_sampled_and_scored_there(
    variant: str,
    small_request: Callable[..., RunRequest],
    tmp_path: Path,
    gpu: None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Catches: a guard, a metric or a branch that mixes tensors of the CPU with those of a GPU.

    And words about scans, in the log and the record, of branches that have none.
    """
    request = small_request(*LONGER, variant=variant, results=tmp_path / "results", device="cuda")
    record = run(request, display=Display())
    assert record.status == "finished"
    assert record.cost.device == "a pretended GPU"
    assert [stage.is_recorded for stage in record.stages] == [True, True, True]
    scans = {"selective_scan": "chunked"} if variant == "cutting_edge" else {}
    assert {"blocks": "torch", **scans}.items() <= record.environment.items()
    assert ("selective_scan" in record.environment) is bool(scans)
    assert ("Mamba" in caplog.text) is bool(scans)


@pytest.mark.parametrize(
    ("spoilt", "sentence"),
    [
        (lambda x: x + torch.ones(1, x.shape[-1]), r"one of shape \[1, \d+\] on the CPU.*buffer"),
        (
            lambda x: functional.adaptive_avg_pool2d(x[None], x.shape[-2:])[0],
            "avg_pool2d_backward_cuda has no deterministic form.*training.deterministic=false",
        ),
    ],
)
def test_what_a_gpu_refuses_ends_in_a_sentence(
    spoilt: Callable[[Tensor], Tensor],
    sentence: str,
    small_request: Callable[..., RunRequest],
    tmp_path: Path,
    gpu: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catches: torch's words about devices and kernels, that name neither cause nor remedy."""
    tokens = BASELINE.audio_tokens
    monkeypatch.setattr(BASELINE, "audio_tokens", lambda self, x: spoilt(tokens(self, x)))
    request = small_request(results=tmp_path / "results", device="cuda")
    with pytest.raises(GuardError, match=sentence):
        run(request, display=Display())
