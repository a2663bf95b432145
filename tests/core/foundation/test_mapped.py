"""Weights copied out of a mapped file."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.foundation.mapped import own_memory

MIB = 1 << 20


def _file_pages_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssFile")) / 1024


@pytest.mark.skipif(sys.platform != "linux", reason="pages of files are told on Linux alone")
def test_a_mapped_file_is_not_held_beside_its_copy(tmp_path: Path) -> None:
    """Catches: twice the memory of the UNet while it loads, 7 GB at the size of SD v1.5."""
    written = {f"weight{k:02}": torch.rand(MIB) for k in range(16)}  # 4 MiB each
    save_file(written, tmp_path / "model.safetensors")
    mapped = load_file(tmp_path / "model.safetensors")
    before = _file_pages_mib()
    kept = mapped.pop("weight15")  # holds the mapping
    own_memory(mapped.values())
    assert _file_pages_mib() - before < 8
    assert all(torch.equal(tensor, written[name]) for name, tensor in mapped.items())
    assert torch.equal(kept, written["weight15"])


def test_memory_without_a_file_keeps_what_is_in_it() -> None:
    """Catches: pages thrown away that nothing can read again."""
    weights = torch.rand(4 * MIB)
    first, second = weights[: 2 * MIB], weights[MIB:]
    expected = weights.clone()
    own_memory([first, second])
    assert torch.equal(weights, expected)
    assert torch.equal(first, expected[: 2 * MIB])
    assert torch.equal(second, expected[MIB:])
    assert first.data_ptr() != weights.data_ptr()


def test_tensors_that_share_a_file_keep_their_values(tmp_path: Path) -> None:
    """Catches: a neighbour, or a second view of the same weights, read as zeros."""
    written = {"a": torch.rand(3 * MIB + 5), "b": torch.rand(1_001), "c": torch.rand(2 * MIB)}
    save_file(written, tmp_path / "model.safetensors")
    mapped = load_file(tmp_path / "model.safetensors")
    view = mapped["a"][10:]
    own_memory([mapped["a"], mapped["b"]])
    assert torch.equal(view, written["a"][10:])
    assert torch.equal(mapped["c"], written["c"])
    assert torch.equal(mapped["a"], written["a"])
