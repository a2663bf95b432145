"""Stand-in runs and searches as large as one likes: records, tables, images; nothing is trained."""

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
from PIL import Image

from core.data.items import Sample
from core.data.splits.split import Part, Split, SplitRule
from core.randomness import rng
from harness.metrics.registry import METRICS
from harness.records.image_names import file_stem
from harness.records.record import RunIdentity, RunRecord, Status
from harness.records.unaltered import file_hashes
from harness.settings.load import load_profile
from harness.sweep.record import (
    BranchSweep,
    Dimension,
    Metric,
    SweepRecord,
    TrialRecord,
    TrialState,
)

BRANCHES = ("baseline", "sonic", "cutting_edge", "ours_a", "ours_b")
ARMS = ("audio", "shuffled", "silence", "text_only", "real")
_GAIN = {"audio": 0.3, "shuffled": 0.0, "silence": -0.02, "text_only": 0.01, "real": 0.45}
_CLIP_METRICS = ("listening_rank", "attribute_error", "ais_win", "aic", "clip_score")
_SIDE_PX = 128
_RATE_HZ, _SOUND_S = 16_000, 2.0
_SETTINGS = {
    "foundation": {"stable_diffusion": "embedded:stable_diffusion", "clap": "embedded:clap"},
    "scorers": {"clip": "embedded:clip"},
    "data": {"window_s": _SOUND_S},
}


def write_split(folder: Path, *, num_clips: int) -> Split:
    """Clips of ten classes, all but a few of them in the test part, each with its own files."""
    samples, parts = {}, {part: [] for part in Part}
    (folder / "media").mkdir(parents=True)
    for number in range(num_clips + 20):
        id_ = f"clip{number:04}"
        audio, image = folder / f"media/{id_}.wav", folder / f"media/{id_}.png"
        time_S = np.arange(int(_RATE_HZ * _SOUND_S)) / _RATE_HZ
        tone_S = 0.3 * np.sin(2 * np.pi * (200 + 3 * number) * time_S)
        soundfile.write(audio, tone_S.astype(np.float32), _RATE_HZ, subtype="PCM_16")
        _picture("real", id_).save(image)
        samples[id_] = Sample(
            id=id_,
            class_name=f"class_{number % 10}",
            caption=f"a scene with sound {number % 10}",
            source=id_,
            audio_path=audio.relative_to(folder).as_posix(),
            image_path=image.relative_to(folder).as_posix(),
            audio_sha256=hashlib.sha256(audio.read_bytes()).hexdigest(),
            image_sha256=hashlib.sha256(image.read_bytes()).hexdigest(),
            duration_s=_SOUND_S,
        )
        part = Part.TEST if number < num_clips else (Part.VAL, Part.TRAIN)[number % 2]
        parts[part].append(id_)
    split = Split(
        root=folder,
        samples=samples,
        parts={part: tuple(sorted(ids)) for part, ids in parts.items()},
        rule=SplitRule(cap=num_clips + 20, seed=0, fractions=(0.2, 0.2, 0.6)),
    )
    split.save(folder / "split.json")
    return split


def _picture(kind: str, id_: str) -> Image.Image:
    """As many bytes as a generated image of 128 px: a gradient with some noise."""
    draw = rng(0, kind, id_)
    ramp = np.linspace(0, 180, _SIDE_PX)[None, :, None] * draw.random(3)
    pixels = ramp + draw.integers(0, 24, (_SIDE_PX, _SIDE_PX, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def write_run(root: Path, *, branch: str, seed: int, split: Split, has_images: bool) -> Path:
    """A finished run of all that a report and a comparison read."""
    identity = RunIdentity(
        variant=branch,
        seed=seed,
        profile="tiny",
        settings=_SETTINGS,
        variant_config={"num_tokens": 8},
        split_hash=split.hash,
        code={"variant": branch, "core": "c", "metrics": "d", "run": "e"},
        models={"stable_diffusion": "1", "clap": "2", "clip": "3"},
    )
    folder = root / "runs" / identity.run_id
    folder.mkdir(parents=True)
    table = _per_clip(branch, seed, split)
    table.to_csv(folder / "per_clip.csv", index=False)
    for arm in ARMS[:-1] if has_images else ():
        (folder / "images" / arm).mkdir(parents=True)
        for id_ in split.test:
            _picture(f"{branch}{seed}{arm}", id_).save(
                folder / "images" / arm / f"{file_stem(id_)}-0.png"
            )
    scores = _scores(table)
    RunRecord(
        run_id=identity.run_id,
        status=Status.FINISHED,
        identity=identity,
        command=f"harness run --variant {branch} --seed {seed}",
        started_at="2026-01-02T03:00:00+00:00",
        finished_at="2026-01-02T03:04:05+00:00",
        split={
            "lock": str(split.root / "split.json"),
            "hash": split.hash,
            "counts": {name: dict(row) for name, row in split.counts.items()},
            "excluded": {},
            "num_input": len(split.samples),
        },
        parameters={"audio": 1_000, "gates": 1},
        stages=[],
        guards_passed=["finite", "moved"],
        metrics=scores["audio"],
        arms=scores,
        controls=[],
        test_openings=1,
        cost={"seconds": {"train": 60.0}, "peak_memory_bytes": 1, "device": "cpu"},
        environment={"python": "3.11", "torch": "2.11"},
        files=file_hashes(folder),
    ).save(folder)
    return folder


def _per_clip(branch: str, seed: int, split: Split) -> pd.DataFrame:
    draw, num = rng(seed, branch), len(split.test)
    gain = 0.02 * BRANCHES.index(branch)
    rows = [
        (id_, split.samples[id_].class_name, arm, 0, metric, float(value))
        for arm in ARMS
        for metric in _CLIP_METRICS
        for id_, value in zip(
            split.test,
            0.5 + _GAIN[arm] + gain * (arm == "audio") + 0.02 * draw.standard_normal(num),
            strict=True,
        )
    ]
    return pd.DataFrame(rows, columns=["sample_id", "class_name", "arm", "draw", "metric", "value"])


def _scores(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    means = table.groupby(["arm", "metric"])["value"].mean()
    return {
        arm: {
            metric: {
                "metric": metric,
                "arm": arm,
                "value": float(means[arm, metric]),
                "n": int(table["sample_id"].nunique()),
                "higher_is_better": METRICS[metric].higher_is_better,
                "extractor": "embedded:clip",
                "extractor_hash": "3",
            }
            for metric in _CLIP_METRICS
        }
        for arm in ARMS
    }


def sweep_record(num_trials: int) -> SweepRecord:
    """A search whose loss is least near a learning rate of 3e-4."""
    trials = []
    for number in range(num_trials):
        lr = 10 ** (-5 + 3 * ((number * 37) % num_trials) / num_trials)
        loss = 0.08 + (math.log10(lr) + 3.5) ** 2 / 100
        trials.append(
            TrialRecord(
                number=number,
                state=TrialState.COMPLETE,
                params={"lr": lr, "num_tokens": 1 + number % 16},
                values={"validation_loss": loss},
                validation_losses=[(20 * i, loss + 0.3 / i) for i in range(1, 11)],
                stage_ends={"stage1": 60, "stage2": 120, "stage3": 200},
                run_id=f"sonic-s0-{number:012d}",
                steps=200,
                seconds=12.0,
                device_seconds=10.0,
                started_at="2026-01-02T03:00:00+00:00",
                finished_at="2026-01-02T03:00:12+00:00",
                is_default=number == 0,
            )
        )
    best = min(trials, key=lambda trial: trial.values["validation_loss"]).number
    space = [
        Dimension(name="lr", kind="float", low=1e-5, high=1e-2, is_log=True),
        Dimension(name="num_tokens", kind="int", low=1, high=16),
    ]
    return SweepRecord(
        name="load",
        command="harness sweep",
        profile="tiny",
        shared_words=[],
        comparison=load_profile("tiny").comparison,
        metrics=[Metric(name="validation_loss", is_higher_better=False)],
        num_trials=num_trials,
        seed=0,
        split_hash="a",
        num_validation=12,
        storage="journal",
        sampler="TPESampler",
        pruner="HyperbandPruner",
        branches=[
            BranchSweep(variant="sonic", study="load", space=space, trials=trials, best=best)
        ],
    )
