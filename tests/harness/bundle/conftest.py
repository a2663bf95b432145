"""A comparison of six seeds of two branches, made of records alone, and its bundle."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.data.items import Sample
from core.data.splits.split import Part, Split, SplitRule
from harness.bundle.make import Bundle, make_bundle
from harness.comparison.analysis import analyse
from harness.comparison.looks import note_look
from harness.comparison.runs import load_run
from harness.metrics.arms import REAL
from harness.metrics.controls import clip_means, listening_margins
from harness.metrics.metric import Level
from harness.metrics.per_class import class_values
from harness.metrics.registry import METRICS
from harness.records.parts import Evaluation, MetricValue, SplitFacts, StageFacts
from harness.records.processes import Cost
from harness.records.record import RunIdentity, RunRecord, Status
from harness.records.unaltered import file_hashes
from harness.report.comparison.write import write_comparison_report
from harness.report.page import style

BRANCHES = ("baseline", "sonic")
ARMS = ("audio", "shuffled", REAL)
PER_CLIP = ("listening_rank", "clip_score")


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def make_split(folder: Path) -> Split:
    samples, parts = {}, {part: [] for part in Part}
    for number in range(20):
        name = f"{number:03d}"  # an id that is a number to whoever reads tables carelessly
        samples[name] = Sample(
            id=name,
            class_name=("rain", "siren")[number % 2],
            caption="a scene",
            source=name,
            audio_path=f"{name}.wav",
            image_path=f"{name}.png",
            audio_sha256=sha(f"sound {name}"),
            image_sha256=sha(f"picture {name}"),
            duration_s=1.0,
        )
        part = Part.TEST if number < 12 else Part.VAL if number < 16 else Part.TRAIN
        parts[part].append(name)
    rule = SplitRule(cap=10, seed=0, fractions=(0.2, 0.2, 0.6))
    split = Split(
        root=folder,
        samples=samples,
        parts={part: tuple(ids) for part, ids in parts.items()},
        rule=rule,
    )
    split.save(folder / "split.json")
    return split


def make_run(results: Path, *, branch: str, seed: int, split: Split) -> Path:
    identity = RunIdentity(
        variant=branch,
        seed=seed,
        profile="tiny",
        settings={"stage1": {"steps": 30}, "data": {"window_s": 1.0}},
        variant_config={"num_tokens": 8},
        split_hash=split.hash,
        code={"variant": sha(branch), "core": "c" * 64, "metrics": "d" * 64, "run": "e" * 64},
        models={"clap": "2" * 64},
    )
    folder = results / "runs" / identity.run_id
    folder.mkdir(parents=True)
    rng = np.random.default_rng([seed, BRANCHES.index(branch)])
    rows = [
        (id_, split.samples[id_].class_name, arm, 0, name,
         0.5 + 0.2 * (arm == "audio") * BRANCHES.index(branch) + 0.05 * rng.standard_normal())
        for arm in ARMS for name in PER_CLIP for id_ in split.test
    ]  # fmt: skip
    columns = ["sample_id", "class_name", "arm", "draw", "metric", "value"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "per_clip.csv", index=False)
    table = pd.read_csv(folder / "per_clip.csv", dtype={"sample_id": str})
    parts = [(*row[:2], arm, 0, "kid", 0.4 + 0.1 * rng.standard_normal())
             for arm in ARMS for row in rows[:12]]  # fmt: skip
    pd.DataFrame(parts, columns=columns).to_csv(folder / "distance_contributions.csv", index=False)
    distances = pd.DataFrame(parts, columns=columns).groupby("arm")["value"].mean()
    means, arms = clip_means(table), {}
    for arm in ARMS:
        for name in (*PER_CLIP, "kid"):
            values = means[(means["arm"] == arm) & (means["metric"] == name)]["value"]
            is_set = METRICS[name].level is not Level.CLIP
            arms.setdefault(arm, {})[name] = MetricValue(
                metric=name,
                arm=arm,
                value=float(distances[arm] if is_set else values.mean()),
                n=12,
                higher_is_better=METRICS[name].higher_is_better,
                extractor="clip",
                extractor_hash="3" * 64,
                standard_error=None if is_set else float(values.std(ddof=1) / np.sqrt(12)),
            )
    counts = {
        name: {part.value: n for part, n in row.items()} for name, row in split.counts.items()
    }
    RunRecord(
        run_id=identity.run_id,
        status=Status.FINISHED,
        identity=identity,
        command=f"harness run --variant {branch} --seed {seed}",
        started_at="2026-01-02T03:00:00+00:00",
        finished_at="2026-01-02T03:04:05+00:00",
        split=SplitFacts(
            lock="results/data/pairs/split.json", hash=split.hash, counts=counts,
            excluded={"silent": 2}, num_input=22,
        ),
        parameters={"audio": 1000},
        stages=[StageFacts(
            stage="stage1", steps_planned=30, steps_done=30, seconds=9.0, samples_seen=120,
            last_loss=0.02, validation_loss=0.05, kept_step=30, trainable_parameters=10,
            stopped_by="steps", gates={"gate": 0.3},
        )],
        metrics=arms["audio"],
        arms=arms,
        controls=listening_margins(table[table["arm"] != REAL]),
        evaluation=Evaluation(per_class=class_values(means)),
        test_openings=1,
        cost=Cost(seconds={"train": 60.0 + seed}, device="cpu", peak_memory_bytes=5),
        environment={"python": "3.11"},
        files=file_hashes(folder),
    ).save(folder)  # fmt: skip
    return folder


@pytest.fixture(scope="session")
def comparison_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a comparison that ends at a win."""
    results = tmp_path_factory.mktemp("bundle") / "results"
    split = make_split(results / "data" / "pairs")
    runs = [
        load_run(make_run(results, branch=branch, seed=seed, split=split))
        for seed in range(6)
        for branch in BRANCHES
    ]
    folder = results / "reports" / "mine"
    record = analyse(
        runs,
        metric="listening_rank",
        margins={"listening_rank": 0.01},
        folder=folder,
        command="harness compare --seeds 6",
        notices=["--margin was asked for when 2 of 12 runs were finished"],
    )
    record.save(folder)
    note_look(folder, record=record)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "_svg", lambda *_, **__: "<svg></svg>")  # plots are not compared
        write_comparison_report(folder)
    return folder


@pytest.fixture(scope="session")
def bundled(comparison_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Its bundle; tests leave the file as it is."""
    return make_bundle(comparison_folder, out=tmp_path_factory.mktemp("bundles") / "mine.tar")
