"""Reading checkpoints: what is accepted, what is refused, and that nothing of them is run."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import MismatchError, MissingWeightsError
from core.foundation.checkpoint import read_tensors


class Hostile:
    """Runs a command where a careless reader unpickles it."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.trace}",)


def test_weights_are_found_among_what_training_scripts_save_beside_them(tmp_path: Path) -> None:
    """Catches: numpy's scalars, in which losses are kept, that make every LAION file unreadable."""
    path = tmp_path / "checkpoint.pt"
    weight = torch.arange(3.0)
    saved = {
        "epoch": 5,
        "name": "best",
        "loss": np.float64(0.25),
        "state_dict": {"module.a.weight": weight, "module.b": torch.ones(())},
    }
    torch.save(saved, path)
    tensors = read_tensors(path)
    assert tensors.keys() == {"a.weight", "b"}
    assert torch.equal(tensors["a.weight"], weight)


def test_numpy_1_names_its_scalars_otherwise(tmp_path: Path) -> None:
    """Catches: files of the years they come from, which say numpy.core where we say numpy._core."""
    path = tmp_path / "checkpoint.pt"
    torch.save(
        {"loss": np.float64(1), "a": torch.ones(1)}, path, _use_new_zipfile_serialization=False
    )
    content = path.read_bytes()
    assert b"numpy._core.multiarray" in content
    path.write_bytes(content.replace(b"cnumpy._core.multiarray", b"cnumpy.core.multiarray"))
    assert read_tensors(path).keys() == {"a"}


def test_a_checkpoint_that_would_run_code_is_refused_and_runs_none(tmp_path: Path) -> None:
    """Catches: weights_only left out, or allowing whatever a file asks for."""
    path, trace = tmp_path / "checkpoint.pt", tmp_path / "ran"
    torch.save({"state_dict": {"a": torch.ones(1)}, "args": Hostile(trace)}, path)
    with pytest.raises(MismatchError, match=r"holds more than tensors.*system"):
        read_tensors(path)
    assert not trace.exists()


def test_names_keep_a_prefix_that_only_some_of_them_have(tmp_path: Path) -> None:
    """Catches: a module that happens to be called `module` losing its name."""
    path = tmp_path / "checkpoint.pt"
    torch.save({"module.a": torch.ones(1), "b": torch.ones(1)}, path)
    assert read_tensors(path).keys() == {"module.a", "b"}


@pytest.mark.parametrize(
    "content",
    [b"", b"not a checkpoint", b"hello\n", b"x" * 64, b"\x80\x02}q", b"PK\x03\x04 cut short"],
)
def test_a_file_that_is_no_checkpoint_says_so(content: bytes, tmp_path: Path) -> None:
    """Catches: a traceback, or a text file called dangerous."""
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    with pytest.raises(MissingWeightsError, match="damaged, cut short or no PyTorch file"):
        read_tensors(path)
    with pytest.raises(MissingWeightsError, match="cannot read"):
        read_tensors(tmp_path / "absent.pt")


def test_a_checkpoint_without_weights_is_refused(tmp_path: Path) -> None:
    """Catches: an empty folder written from an optimiser's state."""
    path = tmp_path / "checkpoint.pt"
    torch.save({"epoch": 3}, path)
    with pytest.raises(MismatchError, match="no state dict"):
        read_tensors(path)
