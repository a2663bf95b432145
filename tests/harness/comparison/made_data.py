"""A folder of media taken to a comparison of two branches, as a user would, and what must hold."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.cli.main import app
from harness.comparison.runs import LoadedRun, load_run
from harness.metrics.metric import Level
from harness.metrics.registry import metric

OVERRIDES = (
    *(f"stage{stage}.steps={steps}" for stage, steps in ((1, 2), (2, 2), (3, 1))),
    *("stage1.warmup_steps=0", "stage2.warmup_steps=0"),
    *("training.micro_batch=2", "training.validate_every=9", "training.validation_draws=1"),
    "sampling.steps=1",
)


def ask(*words: Any) -> Any:
    """The JSON that a command prints."""
    done = CliRunner().invoke(app, [*map(str, words), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def take_to_a_comparison(folder: Path) -> dict[str, Any]:
    """What each command said, from ingest of FOLDER/media to a comparison in FOLDER/results."""
    media, data, lock = folder / "media", folder / "set", folder / "lock.json"
    said = {
        "ingest": ask("data", "ingest", media, "--out", data),
        "clean": ask("data", "clean", data),
        "split": ask("data", "split", data, "--out", lock),
    }
    sets = [word for item in OVERRIDES for word in ("--set", item)]
    results = ("--results", folder / "results", "--data", lock)
    words = ("compare", "--variants", "baseline,text_only", "--seeds", "1", *sets, *results)
    said["compare"] = ask(*words)
    return said


def runs_of(folder: Path) -> dict[str, LoadedRun]:
    """The runs of FOLDER/results by branch."""
    found = [load_run(path.parent) for path in (folder / "results/runs").glob("*/record.json")]
    return {run.record.identity.variant: run for run in found}


def every_number_is_right_or_blank_with_its_reason(run: LoadedRun) -> None:
    """Fails where a mean is not that of its clips, or a blank does not say why."""
    for arm, scores in run.record.arms.items():
        for name, score in scores.items():
            if score.value is None:
                assert score.reason, (arm, name)
                continue
            assert math.isfinite(score.value)
            if metric(name).level is Level.CLIP:
                rows = run.per_clip.query("arm == @arm and metric == @name")
                by_clip = rows.groupby("sample_id")["value"].mean().dropna()
                assert score.value == pytest.approx(by_clip.mean())
                assert score.n == len(by_clip)
