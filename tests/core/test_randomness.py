"""Named randomness."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from core.randomness import normal, rng, torch_seeded

GOLDEN = [261456, 613138, 390169]


def test_a_draw_is_a_function_of_seed_and_name_alone() -> None:
    """Catches: a stream that depends on earlier draws or on global state."""
    first = normal((3, 4), seed=1, name=("noise", "stage1", 7))
    np.random.seed(5)
    torch.manual_seed(9)
    normal((99,), seed=1, name=("noise", "stage1", 6))
    assert torch.equal(first, normal((3, 4), seed=1, name=("noise", "stage1", 7)))


def test_names_that_read_alike_are_different_streams() -> None:
    """Catches: ('a', 'bc') and ('ab', 'c') or 1 and '1' sharing their noise."""
    names = [("a", "bc"), ("ab", "c"), ("abc",), (1,), ("1",), ()]
    draws = {rng(0, *name).integers(0, 2**62) for name in names}
    assert len(draws) == len(names)


def test_values_are_the_same_in_every_release() -> None:
    """Catches: a changed hash or generator, which would silently change every run."""
    assert rng(0, "golden").integers(0, 1_000_000, size=3).tolist() == GOLDEN


def test_seeding_torch_for_a_block_leaves_no_trace() -> None:
    """Catches: global seeding, which couples what comes after to what came before."""
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with torch_seeded(0, "dropout"):
        inside = torch.rand(2)
    assert torch.equal(torch.rand(2), expected)
    with torch_seeded(0, "dropout"):
        assert torch.equal(torch.rand(2), inside)


def test_only_the_gpu_in_use_has_its_generator_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a context of 0.5 GB opened on every visible GPU by each draw of a step."""
    forked: list[list[int]] = []

    @contextmanager
    def noted(devices: list[int]) -> Iterator[None]:
        forked.append(devices)
        yield

    monkeypatch.setattr(torch.random, "fork_rng", noted)
    with torch_seeded(0, "dropout"):
        pass
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 2)
    with torch_seeded(0, "dropout"):
        pass
    assert forked == [[], [2]]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there the GPU is seeded too")
def test_seeding_notes_nothing_for_devices_that_never_wake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a traceback read for each kind of device at each step."""
    read: list[object] = []
    monkeypatch.setattr(traceback, "format_stack", lambda: read.append(None) or [])
    with torch_seeded(0, "dropout"):
        pass
    assert read == []
