"""Images from sounds on a GPU that is not there: nothing stays behind, and they are the CPU's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from harness.cli.main import app
from harness.testing.pretended_gpu import pretended_gpu


@pytest.mark.parametrize(
    "words",
    [
        ("generate", "--audio", "fire"),
        ("edit", "--image", "picture", "--audio", "fire", "--mask", "mask", "--steps", "4"),
        ("edit", "--image", "picture", "--audio", "fire", "--keep", "all", "--steps", "4"),
        ("probe", "--clips", "2", "--seeds", "1", "--property", "mix"),
    ],
    ids=lambda words: " ".join(words[:1] + words[-3:-2]),
)
def test_a_gpu_generates_the_same(
    words: tuple[str, ...], finished: Any, files: dict[str, Path], tmp_path: Path
) -> None:
    """Catches: a mask, a noise or kept attention that stayed on the CPU."""
    command, *options = (str(files.get(word, word)) for word in words)
    where = ["--results", str(finished.request.results)]
    images = {}
    for device in ("cuda", "cpu"):
        out = tmp_path / device
        line = [command, finished.record.run_id, *options, *where]
        line += ["--device", device, "--out", str(out)]
        if device == "cuda":
            with pretended_gpu():
                done = CliRunner().invoke(app, line)
        else:
            done = CliRunner().invoke(app, line)
        assert done.exit_code == 0, done.exception
        images[device] = {
            path.relative_to(out): np.asarray(Image.open(path)) for path in out.rglob("*.png")
        }
    assert images["cuda"].keys() == images["cpu"].keys() != set()
    for name, pixels in images["cuda"].items():
        # The last bit of a product may follow from where its factors lie in memory.
        assert np.abs(pixels.astype(int) - images["cpu"][name]).max() <= 1, name
