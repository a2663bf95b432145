"""Finished runs on disk with drawn scores: what a comparison reads, at any size.

A run holds what a run of `tiny` leaves for it: its record with the hashes of its tables, the scores
of every clip in five arms by seven metrics, and two distances with the clips' contributions.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.metrics.registry import metric
from harness.records.folders import CONTRIBUTIONS, PER_CLIP
from harness.records.record import RunIdentity, RunRecord, Status
from harness.records.unaltered import file_hashes

ARMS = ("audio", "shuffled", "silence", "text_only", "real")
OF_CLIPS = (
    "listening_rank",
    "attribute_error",
    "ais_win",
    "ais_cos",
    "iis_win",
    "aic",
    "clip_score",
)
DISTANCES = ("kid", "cmmd")
NUM_CLASSES = 20


def write_runs(results: Path, *, num_branches: int, num_seeds: int, num_clips: int) -> list[str]:
    """Write a run of each branch and seed below `results`; returns their ids."""
    ids = [f"clip{k:05}" for k in range(num_clips)]
    classes = [f"class{k % NUM_CLASSES:02}" for k in range(num_clips)]
    return [
        _write_run(results, branch=branch, seed=seed, ids=ids, classes=classes)
        for seed in range(num_seeds)
        for branch in range(num_branches)
    ]


def _write_run(results: Path, *, branch: int, seed: int, ids: list[str], classes: list[str]) -> str:
    name = f"branch_{chr(ord('a') + branch)}"
    identity = RunIdentity(
        variant=name,
        seed=seed,
        profile="tiny",
        settings={"scorers": {"clip": "embedded:clip"}},
        variant_config={},
        split_hash="5" * 64,
        code={"variant": hashlib.sha256(name.encode()).hexdigest(), "core": "c" * 64},
        models={"clip": "3" * 64},
    )
    folder = results / "runs" / identity.run_id
    folder.mkdir(parents=True)
    draw = np.random.default_rng([branch, seed])
    difficulty = np.random.default_rng(0).normal(0, 0.1, len(ids))
    effect = 0.02 * branch + 0.01 * draw.normal()
    arms: dict[str, dict[str, Any]] = {}
    for path, metrics, some_arms in (
        (PER_CLIP, OF_CLIPS, ARMS),
        (CONTRIBUTIONS, DISTANCES, ("audio",)),
    ):
        parts = []
        for arm in some_arms:
            for score in metrics:
                gain = effect if arm == "audio" else 0.0
                values = 0.5 + gain + difficulty + draw.normal(0, 0.1, len(ids))
                parts.append(_rows(ids, classes, arm, score, values))
                arms.setdefault(arm, {})[score] = _score(arm, score, values)
        pd.concat(parts).to_csv(folder / path, index=False)
    RunRecord(
        run_id=identity.run_id,
        status=Status.FINISHED,
        identity=identity,
        command=f"harness run --variant {name} --profile tiny --seed {seed} --results {results}",
        started_at="2026-01-02T03:00:00+00:00",
        finished_at="2026-01-02T03:04:05+00:00",
        split={  # type: ignore[arg-type]
            "lock": "split.json",
            "hash": "5" * 64,
            "counts": {c: {"train": 9, "val": 9, "test": classes.count(c)} for c in set(classes)},
            "excluded": {},
            "num_input": len(ids),
        },
        metrics=arms["audio"],
        arms=arms,
        test_openings=1,
        files=file_hashes(folder),
    ).save(folder)
    return identity.run_id


def _rows(
    ids: list[str], classes: list[str], arm: str, score: str, values: np.ndarray
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "sample_id": ids,
            "class_name": classes,
            "arm": arm,
            "draw": 0,
            "metric": score,
            "value": values,
        }
    )


def _score(arm: str, name: str, values: np.ndarray) -> dict[str, Any]:
    about = metric(name)
    return {
        "metric": name,
        "arm": arm,
        "value": float(values.mean()),
        "n": len(values),
        "higher_is_better": about.higher_is_better,
        "extractor": "embedded:clip",
        "extractor_hash": "3" * 64,
        "chance": about.chance,
    }
