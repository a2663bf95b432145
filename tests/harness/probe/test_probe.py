"""The command probes a run end to end: numbers, strips and a page."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from harness.cli.main import app
from harness.metrics.pictures import read_square


@pytest.fixture(scope="module")
def probed(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Two test clips, two properties."""
    out = tmp_path_factory.mktemp("probe")
    words = ["probe", finished.record.run_id, "--results", str(finished.request.results)]
    some = ["--clips", "2", "--seeds", "1", "--property", "shift", "--property", "mix"]
    done = CliRunner().invoke(app, [*words, *some, "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    return out, json.loads(done.stdout)


def test_every_level_has_an_image_and_every_measure_a_response(probed: Any, finished: Any) -> None:
    """Catches: levels that are not sampled, or measures that are left out in silence."""
    out, printed = probed
    images = sorted((out / "images" / finished.record.run_id).glob("*.png"))
    assert len(images) == 2 * (1 + 4 + 4)
    names = {measure["name"] for measure in printed["measures"]}
    assert {"pitch", "brightness", "change"} <= names
    for prop in ("shift", "mix"):
        own = [r for r in printed["responses"] if r["property"] == prop and r["run_id"]]
        assert {r["measure"] for r in own} == names
        change = next(r for r in own if r["measure"] == "change")
        own_levels = next(p for p in printed["properties"] if p["name"] == prop)["levels"]
        assert change["means"][own_levels.index(0.0)] == pytest.approx(0, abs=1e-9)
        assert change["p"] is None
    assert any(r["run_id"] is None and r["measure"] == "intensity" for r in printed["responses"])


def shows(sheet_HWC: NDArray[np.uint8], cell_HWC: NDArray[np.uint8]) -> bool:
    """Whether an image lies somewhere on a sheet, pixel for pixel."""
    rows = [row_WC.tobytes() for row_WC in sheet_HWC]
    wanted = [row_WC.tobytes() for row_WC in cell_HWC]
    return any(
        all(row in rows[top + place] for place, row in enumerate(wanted))
        for top in range(len(rows) - len(wanted) + 1)
    )


def test_the_page_and_a_strip_for_each_property_are_there(probed: Any, finished: Any) -> None:
    """Catches: numbers that nobody can look at, a strip without its images, a page without it."""
    out, printed = probed
    assert [Path(path).name for path in printed["strips"]] == ["shift.png", "mix.png"]
    page = Path(printed["report"]).read_text(encoding="utf-8")
    folder = out / "images" / finished.record.run_id
    for prop, path in zip(("shift", "mix"), printed["strips"], strict=True):
        assert base64.b64encode(Path(path).read_bytes()).decode() in page
        with Image.open(path) as strip:
            sheet_HWC = np.asarray(strip.convert("RGB"))
        images = sorted(folder.glob(f"*{prop}*.png"))
        assert len(images) == 2 * 4
        for image in images:
            assert shows(sheet_HWC, read_square(image, size=96)), image.name
    assert "What the branches respond to" in page
    assert (out / "report.md").read_text(encoding="utf-8").count("|") > 50


def test_an_unknown_property_and_one_sound_to_mix_are_sentences(
    finished: Any, tmp_path: Path
) -> None:
    """Catches: a traceback for a typing error."""
    words = ["probe", finished.record.run_id, "--results", str(finished.request.results)]
    done = CliRunner().invoke(app, [*words, "--property", "picth", "--out", str(tmp_path)])
    assert "did you mean 'pitch'" in str(done.exception)
    done = CliRunner().invoke(
        app, [*words, "--property", "mix", "--clips", "1", "--out", str(tmp_path)]
    )
    assert "a second sound" in str(done.exception)
