"""A report of a run that was really made: records change, and stand-ins do not notice."""

from pathlib import Path
from typing import Any

import pandas as pd

from harness.comparison.runs import load_run
from harness.report.comparison.write import write_runs_report


def test_a_real_run_fills_its_sections(finished: Any, tmp_path: Path) -> None:
    """Catches: a key of the record that was renamed, after which a section stays blank for ever."""
    written = write_runs_report([load_run(finished.folder)], results=tmp_path)
    text = written.page.read_text(encoding="utf-8")
    for plot in ("controls-plot", "cost-plot", "distances-plot", "learning-plot", "slopes-plot"):
        assert f'<figure class="plot" id="{plot}">' in text
    assert "Similarity to the nearest training picture" in text
    assert text.count("<audio") >= 3  # one a class
    assert 'class="gone"' not in text.replace('class="gone" role="img" aria-label="baseline', "")
    table = pd.read_parquet(written.files["numbers_parquet"])
    assert {"run", "class", "clip", "margin", "curve", "nearest", "cost", "stage"} <= set(
        table["level"]
    )
    kid = finished.record.value("kid")
    own = table[(table["level"] == "run") & (table["metric"] == "kid") & (table["arm"] == "audio")]
    assert own["value"].item() == kid
