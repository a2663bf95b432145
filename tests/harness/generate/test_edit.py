"""Edits: what the inversion loses is stated, and what is masked stays."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from core.embedded.corpus.pairs import make_pair
from harness.cli.main import app
from harness.generate.edit import layout_kept


def edited(finished: Any, files: dict[str, Path], *more: str) -> Any:
    words = ["edit", finished.record.run_id, "--results", str(finished.request.results)]
    words += ["--image", str(files["picture"]), "--audio", str(files["fire"]), "--steps", "6"]
    return CliRunner().invoke(app, [*words, *more])


def pixels(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_pixels_outside_the_mask_are_kept_and_inside_they_change(
    finished: Any, files: dict[str, Path], tmp_path: Path
) -> None:
    """Catches: a mask the wrong way round, or one that the VAE's own loss leaks past."""
    words = ["--mask", str(files["mask"]), "--strength", "1", "--audio-scale", "3"]
    done = edited(finished, files, *words, "--out", str(tmp_path), "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    source, image = pixels(found["source"]), pixels(found["edited"])
    assert np.abs(image - source)[:, 32:].max() == 0
    assert np.abs(image - source)[:, :32].max() > 8
    assert found["change_outside"] == 0
    assert found["change_inside"] > 0
    with Image.open(found["side_by_side"]) as sheet:
        assert sheet.width >= 3 * 192


def test_the_inversion_loses_less_than_the_edit_changes_and_says_so(
    finished: Any, files: dict[str, Path], tmp_path: Path
) -> None:
    """Catches: a reconstruction error that is not measured against the picture."""
    words = ["--strength", "0.5", "--audio-scale", "5", "--out", str(tmp_path), "--json"]
    found = json.loads(edited(finished, files, *words).stdout)
    assert found["inversion_rmse"] < 0.05
    coded = np.sqrt(((pixels(found["reconstruction"]) - pixels(found["source"])) ** 2).mean()) / 255
    assert coded <= found["vae_rmse"] + found["inversion_rmse"] + 0.01
    assert found["steps_taken"] == 3


def test_kept_attention_keeps_the_layout_and_says_how_far(
    finished: Any, files: dict[str, Path], tmp_path: Path
) -> None:
    """Catches: attention that is kept in no step, or in steps nobody asked for."""
    found = {}
    for keep in ("none", "all"):
        words = ["--strength", "1", "--text-guidance", "8", "--text", "a fire", "--keep", keep]
        words += ["--keep-until", "0.5", "--out", str(tmp_path / keep), "--json"]
        done = edited(finished, files, *words)
        assert done.exit_code == 0, done.output
        found[keep] = json.loads(done.stdout)
    assert (found["none"]["steps_kept"], found["all"]["steps_kept"]) == (0, 3)
    assert found["all"]["layout_kept"] > found["none"]["layout_kept"] + 0.02
    again = [pixels(found[keep]["reconstruction"]) for keep in found]
    np.testing.assert_array_equal(*again)


def test_layout_is_the_same_where_colour_alone_changes() -> None:
    """Catches: a measure of layout that is one of colour, or that a flat image breaks."""
    picture = make_pair("rain", seed=3, namespace="edit", index=0).image
    assert layout_kept(picture, picture) == pytest.approx(1)
    assert layout_kept(picture[..., ::-1].copy(), picture) > 0.9
    assert layout_kept(np.roll(picture, 40, axis=1), picture) < 0.7
    assert layout_kept(np.zeros_like(picture), picture) == 0


def test_what_cannot_be_edited_is_a_sentence(
    finished: Any, files: dict[str, Path], tmp_path: Path
) -> None:
    """Catches: a traceback for a mask that leaves nothing, or a strength out of range."""
    for words, sentence in (
        (["--mask", str(files["black"])], "is bright nowhere"),
        (["--strength", "0"], "expected a number above 0"),
        (["--keep", "all", "--keep-until", "1.5"], "--keep-until 1.5"),
        (["--mask", str(files["fire"])], "cannot be read as an image"),
    ):
        done = edited(finished, files, *words, "--out", str(tmp_path))
        assert sentence in str(done.exception), done.output
