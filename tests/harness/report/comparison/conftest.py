"""A results folder as runs leave it, made of small stand-in records: no model, no training.

Two branches, two seeds, two classes; names, captions and classes are as hostile as files allow.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from core.data.items import Sample
from core.data.splits.split import Part, Split, SplitRule
from harness.comparison.analysis import analyse
from harness.comparison.runs import load_run
from harness.metrics.metric import Level
from harness.metrics.registry import METRICS
from harness.records.image_names import file_stem
from harness.records.record import RunIdentity, RunRecord, Status
from harness.report.comparison.write import write_comparison_report
from harness.report.page.page import Written

HOSTILE_CLASS = '<img src="http://evil.invalid/x" onerror="alert(1)">'
HOSTILE_ID = "\"><script>document.title='owned'<␣script>$x_1$".replace("␣", "\u2215")
HOSTILE_CAPTION = "</style></script><script>document.title='owned'</script> | @someone `x` #1"
PLAIN_CLASS = "dog_barking"
BRANCHES = ("baseline", "sonic")
ARMS = ("audio", "shuffled", "silence", "text_only", "real")
SETTINGS = {
    "foundation": {"stable_diffusion": "embedded:stable_diffusion", "clap": "embedded:clap"},
    "scorers": {"clip": "embedded:clip"},
    "data": {"window_s": 0.5},
}
_BRANCH_GAIN = {"baseline": 0.0, "sonic": 0.06}
_ARM_GAIN = {"audio": 0.3, "shuffled": 0.0, "silence": -0.02, "text_only": 0.01, "real": 0.49}


@dataclass(frozen=True)
class Results:
    """What the stand-in runs left."""

    root: Path
    """The results folder."""
    split: Split
    """Its split."""
    runs: tuple[Path, ...]
    """Folders of the runs, by seed and branch."""
    hostile_class: str = HOSTILE_CLASS
    """A class that would be an image with a handler."""
    hostile_id: str = HOSTILE_ID
    """A file name that would leave its attribute and be a script."""
    hostile_caption: str = HOSTILE_CAPTION
    """A caption that would end the style, mention someone and break a table."""


def write_results(
    root: Path, *, seeds: int = 2, fails: bool = False, test_clips: int = 4
) -> Results:
    """Runs of both branches; with `fails` the last one ended in an error.

    test_clips: of each class.
    """
    split = _write_media(root / "data" / "pairs", test_clips=test_clips)
    folders = []
    for seed in range(seeds):
        for branch in BRANCHES:
            is_failed = fails and (seed, branch) == (seeds - 1, BRANCHES[-1])
            folders.append(_write_run(root, branch=branch, seed=seed, split=split, fails=is_failed))
    return Results(root, split, tuple(folders))


def write_comparison(results: Results) -> Path:
    """Folder of the comparison of all runs."""
    folder = results.root / "reports" / "compare-test"
    analyse(
        [load_run(path) for path in results.runs],
        metric="listening_rank",
        folder=folder,
        command="harness compare --variants baseline,sonic --seeds 2",
    ).save(folder)
    return folder


@pytest.fixture(scope="session")
def stand_in() -> SimpleNamespace:
    """The makers, for tests that need other runs."""
    return SimpleNamespace(write_results=write_results, write_comparison=write_comparison)


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Finished runs, made once; tests leave them as they are."""
    return write_results(tmp_path_factory.mktemp("report") / "results")


@pytest.fixture(scope="session")
def comparison_folder(results: Results) -> Path:
    """A comparison of them."""
    return write_comparison(results)


@pytest.fixture(scope="session")
def written(comparison_folder: Path) -> Written:
    """Its report, drawn once."""
    return write_comparison_report(comparison_folder)


def _write_media(folder: Path, *, test_clips: int) -> Split:
    samples: dict[str, Sample] = {}
    parts: dict[Part, list[str]] = {part: [] for part in Part}
    for class_index, class_name in enumerate((HOSTILE_CLASS, PLAIN_CLASS)):
        for number in range(test_clips + 2):
            is_hostile = class_index == 0 and number == 0
            id_ = HOSTILE_ID if is_hostile else f"clip{class_index}{number}"
            audio, image = folder / "media" / f"{id_}.wav", folder / "media" / f"{id_}.png"
            audio.parent.mkdir(parents=True, exist_ok=True)
            time_S = np.arange(24_000) / 48_000
            tone_S = 0.3 * np.sin(
                2 * np.pi * (220 + 20 * ((test_clips + 2) * class_index + number)) * time_S
            )
            soundfile.write(audio, tone_S.astype(np.float32), 48_000, subtype="PCM_16")
            _picture(class_index, number).save(image)
            samples[id_] = Sample(
                id=id_,
                class_name=class_name,
                caption=HOSTILE_CAPTION if is_hostile else f"a scene with {class_index}",
                source=id_,
                audio_path=audio.relative_to(folder).as_posix(),
                image_path=image.relative_to(folder).as_posix(),
                audio_sha256=_sha256(audio),
                image_sha256=_sha256(image),
                duration_s=0.5,
            )
            part = Part.TEST if number < test_clips else Part.VAL
            part = Part.TRAIN if number > test_clips else part
            parts[part].append(id_)
    split = Split(
        root=folder,
        samples=samples,
        parts={part: tuple(sorted(ids)) for part, ids in parts.items()},
        rule=SplitRule(cap=test_clips + 2, seed=0, fractions=(0.2, 0.2, 0.6)),
    )
    split.save(folder / "split.json")
    return split


def _picture(red: int, green: int) -> Image.Image:
    pixels = np.full(
        (16, 16, 3), (60 * red + 60, (35 * green + 30) % 256, 120 - green % 100), dtype=np.uint8
    )
    pixels[4:12, 4:12] = 230
    return Image.fromarray(pixels)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write_run(root: Path, *, branch: str, seed: int, split: Split, fails: bool) -> Path:
    identity = RunIdentity(
        variant=branch,
        seed=seed,
        profile="tiny",
        settings=SETTINGS,
        variant_config={"num_tokens": 8},
        split_hash=split.hash,
        code={"variant": _hash(branch), "core": "c" * 64, "metrics": "d" * 64, "run": "e" * 64},
        models={"stable_diffusion": "1" * 64, "clap": "2" * 64, "clip": "3" * 64},
    )
    folder = root / "runs" / identity.run_id
    folder.mkdir(parents=True)
    table = _per_clip(branch, seed, split)
    table.to_csv(folder / "per_clip.csv", index=False)
    _write_events(folder)
    _write_images(folder, split)
    scores = {} if fails else _scores(table)
    RunRecord(
        run_id=identity.run_id,
        status=Status.FAILED if fails else Status.FINISHED,
        identity=identity,
        command=f"harness run --variant {branch} --seed {seed} --results results",
        started_at="2026-01-02T03:00:00+00:00",
        finished_at="2026-01-02T03:04:05+00:00",
        split={
            # As a run writes it: relative to where it was started.
            "lock": "results/data/pairs/split.json",
            "hash": split.hash,
            "counts": {name: dict(row) for name, row in split.counts.items()},
            "excluded": {"empty_audio": 2},
            "num_input": 14,
        },
        parameters={"audio": 1_000 + 500 * BRANCHES.index(branch), "gates": 1},
        stages=[_stage("stage1", 30), _stage("stage2", 20)],
        guards_passed=["finite", "moved"],
        metrics=scores.get("audio", {}),
        arms=scores,
        controls=[] if fails else _controls(table),
        test_openings=1,
        cost={
            "seconds": {"train": 60.0 + 30 * BRANCHES.index(branch) + seed, "score": 2.0},
            "peak_memory_bytes": 500_000_000,
            "device": "cpu",
        },
        environment={"python": "3.11", "torch": "2.11"},
        error="the loss is NaN" if fails else None,
        evaluation={} if fails else _evaluation(seed),
    ).save(folder)
    pd.DataFrame(
        {
            "sample_id": split.test,
            "class_name": [split.samples[i].class_name for i in split.test],
            "arm": "audio",
            "draw": 0,
            "nearest_id": split.train[0],
            "similarity": np.linspace(0.7, 0.9, len(split.test)),
        }
    ).to_csv(folder / "nearest_training.csv", index=False)
    return folder


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _per_clip(branch: str, seed: int, split: Split) -> pd.DataFrame:
    rng = np.random.default_rng([seed, BRANCHES.index(branch)])
    rows = []
    for arm in ARMS:
        for id_ in split.test:
            gain = 0.0 if arm == "real" else _BRANCH_GAIN[branch] * (arm == "audio")
            value = 0.5 + _ARM_GAIN[arm] + gain + 0.02 * float(rng.standard_normal())
            class_name = split.samples[id_].class_name
            rows.append((id_, class_name, arm, 0, "listening_rank", value))
            rows.append((id_, class_name, arm, 0, "clip_score", 0.7 + 0.1 * value))
    return pd.DataFrame(rows, columns=["sample_id", "class_name", "arm", "draw", "metric", "value"])


def _scores(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for arm in ARMS:
        for name in ("listening_rank", "clip_score", "kid", "fid"):
            about = METRICS[name]
            own = table[(table["arm"] == arm) & (table["metric"] == name)]["value"]
            value: float | None = float(own.mean()) if about.level is Level.CLIP else 0.4
            if name == "fid":
                value = None
            found.setdefault(arm, {})[name] = {
                "metric": name,
                "arm": arm,
                "value": value,
                "n": 0 if value is None else table["sample_id"].nunique(),
                "higher_is_better": about.higher_is_better,
                "extractor": "embedded:clip",
                "extractor_hash": "3" * 64,
                "chance": about.chance,
                "reason": None if value is not None else "no Inception weights",
            }
    return found


def _controls(table: pd.DataFrame) -> list[dict[str, Any]]:
    own = table[table["metric"] == "listening_rank"].groupby("arm")["value"].mean()
    return [
        {
            "metric": "listening_rank",
            "control": control,
            "n": 8,
            "mean": float(own["audio"] - own[control]),
            "sd": 0.05,
            "z": 9.0,
            "low": float(own["audio"] - own[control]) - 0.04,
            "high": float(own["audio"] - own[control]) + 0.04,
        }
        for control in ("shuffled", "silence", "text_only")
    ]


def _evaluation(seed: int) -> dict[str, Any]:
    points: list[Mapping[str, Any]] = [
        {"metric": "kid", "arm": arm, "n": n, "mean": height + 1 / n, "sd": 0.1, "repeats": 5}
        for arm, height in (("audio", 0.3 + 0.01 * seed), ("real", 0.0))
        for n in (2, 4, 8)
    ]
    summary = {"n": 8, "mean": 0.8, "max": 0.9, "share_above_real_p95": 0.125}
    return {
        "distance_curves": points,
        "nearest_training": {
            "extractor": "embedded:clip",
            "extractor_hash": "3" * 64,
            "num_training": 2,
            "arms": {"audio": summary, "real": summary},
        },
    }


def _stage(name: str, steps: int) -> dict[str, Any]:
    return {
        "stage": name,
        "steps_planned": steps,
        "steps_done": steps,
        "seconds": 1.0,
        "samples_seen": 4 * steps,
        "last_loss": 0.02,
        "validation_loss": 0.05,
        "kept_step": steps,
        "trainable_parameters": 10,
        "stopped_by": "steps",
        "gates": {"gate": 0.3},
    }


def _write_events(folder: Path) -> None:
    lines = [
        {
            "global_step": step,
            "loss": 0.05 / step,
            "losses": {"diffusion": 0.04 / step},
            "gates": {"a": 0.01 * step, "b": 0.02 * step},
            "validation_loss": 0.05 / step if step % 10 == 0 else None,
        }
        for step in range(1, 51)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "events.jsonl").write_text(text + '{"global_step": 51, "lo')


def _write_images(folder: Path, split: Split) -> None:
    for arm_index, arm in enumerate(ARMS[:-1]):
        for number, id_ in enumerate(split.test):
            path = folder / "images" / arm / f"{file_stem(id_)}-0.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            _picture(arm_index, number).save(path)


@pytest.fixture
def copied(results: Any, comparison_folder: Path, tmp_path: Path) -> Path:
    """The comparison's folder in a copy of the results that a test may change."""
    shutil.copytree(results.root, tmp_path / "results")
    return tmp_path / "results" / "reports" / comparison_folder.name


@pytest.fixture
def without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots take seconds and have tests of their own."""
    for module in ("differences", "scores", "training"):
        monkeypatch.setattr(
            f"harness.report.comparison.figures.{module}.both",
            lambda *args: ("<svg></svg>", "<svg></svg>"),
        )
