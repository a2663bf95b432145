"""What reading a clip's cached row costs, at 200,000 clips against 664.

    python benchmarks/feature_cache.py [--pairs 7] [--out benchmarks/results/feature_cache.json]

A row is what a training step of `baseline` reads of a clip, by the calls that it makes: mean and
standard deviation [4, 32, 32] of the latents, the caption's states [24, 128], CLAP's pooled vector
[512]; 46 kB of float32. (256 px; at 512 px latents are four times that, 26 GB in all.) The store
itself fills the caches. A round reads 8,000 rows of each size, in batches of 8 that are drawn anew.
One process, one thread, A B A B, CPU time, median of the ratios of neighbouring rounds; a first
round is left out. Needs 7 GB of disk, and as much memory that nobody else uses.

Told beside it: the same for the pooled vector alone, straight from its table. There the copy is so
short that most of the cost is finding one key among 200,000, which misses the processor's caches:
a matter of two microseconds. And the cost of opening a full cache, every shard hashed, once a run.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

from core.choices import AudioFeature
from core.data.items import Sample
from core.data.splits.split import Part, Split, SplitRule
from core.features.features import SplitFeatures
from core.features.index import caption_key
from core.features.store import FeatureStore, FeatureTable

SMALL, LARGE = 664, 200_000
CAPTION = "A scene with rain sound"
SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "latents": {"mean": (4, 32, 32), "std": (4, 32, 32)},
    "text": {"states": (24, 128)},
    "clap": {"clap_pooled": (512,)},
}
ROWS_A_ROUND, BATCH = 8_000, 8
_MAX_RATIO = 1.5


def filled(folder: Path, *, kind: str, keys: Sequence[str], name: str) -> FeatureTable:
    """A full cache of these keys, opened; each row holds its number."""
    store = FeatureStore(cache_dir=folder, kind=kind, settings={"cache": name}, batch_size=256)
    number = {key: index for index, key in enumerate(keys)}

    def compute(part: Sequence[str]) -> dict[str, torch.Tensor]:
        values = torch.tensor([number[key] for key in part], dtype=torch.float32)
        return {
            tensor: values.view(-1, *(1 for _ in shape)).expand(-1, *shape)
            for tensor, shape in SHAPES[kind].items()
        }

    return store.fill(keys, compute=compute)


def features_of(folder: Path, *, num_rows: int) -> SplitFeatures:
    """Cached features of a split of `num_rows` clips, as a run opens them."""
    samples = {
        f"id{k:07}": Sample(
            id=f"id{k:07}",
            class_name="rain",
            caption=CAPTION,
            source=f"{k}",
            audio_path="",
            image_path="",
            audio_sha256=f"{k:064x}",
            image_sha256=f"{k + num_rows:064x}",
            duration_s=10.0,
        )
        for k in range(num_rows)
    }
    split = Split(
        root=folder,
        samples=samples,
        parts={Part.TRAIN: tuple(samples), Part.VAL: (), Part.TEST: ()},
        rule=SplitRule(cap=None, seed=0, fractions=None),
    )
    name = str(num_rows)
    sounds = [sample.audio_sha256 for sample in samples.values()]
    images = [sample.image_sha256 for sample in samples.values()]
    return SplitFeatures(
        split=split,
        samples=samples,
        latents={False: filled(folder, kind="latents", keys=images, name=name)},
        captions=filled(folder, kind="text", keys=[caption_key(CAPTION)], name=name),
        sounds={AudioFeature.CLAP_POOLED: filled(folder, kind="clap", keys=sounds, name=name)},
        crop_keys={sound: (sound,) for sound in sounds},
        notices=(),
        num_computed=0,
    )


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What `work` returns, and its CPU seconds."""
    started = time.process_time()
    result = work()
    return result, time.process_time() - started


def read_rows(features: SplitFeatures, *, seed: int) -> float:
    """CPU seconds of a round of whole rows; the first number of each batch is checked."""
    drawn = _drawn(len(features.split.train), seed=seed)
    batches = [[features.split.train[index] for index in batch] for batch in drawn]

    def work() -> None:
        for ids, numbers in zip(batches, drawn, strict=True):
            mean_BCHW, _ = features.latent_moments(ids, [False] * BATCH)
            features.text(ids)
            pooled_BD = features.audio(AudioFeature.CLAP_POOLED, ids)
            assert mean_BCHW[0, 0, 0, 0] == pooled_BD[0, 0] == numbers[0]

    return timed(work)[1]


def read_pooled(features: SplitFeatures, *, seed: int) -> float:
    """CPU seconds of a round of pooled vectors, straight from their table."""
    table = features.sounds[AudioFeature.CLAP_POOLED]
    drawn = _drawn(len(features.split.train), seed=seed)
    batches = [[f"{index:064x}" for index in batch] for batch in drawn]

    def work() -> None:
        for keys in batches:
            table.rows(keys, name=AudioFeature.CLAP_POOLED.value)

    return timed(work)[1]


def _drawn(num_rows: int, *, seed: int) -> list[list[int]]:
    drawn = np.random.default_rng(seed).integers(0, num_rows, (ROWS_A_ROUND // BATCH, BATCH))
    numbers: list[list[int]] = drawn.tolist()
    return numbers


def compare(
    caches: Mapping[int, SplitFeatures], read: Callable[..., float], *, pairs: int
) -> dict[str, Any]:
    """Cost of a row at both sizes, and their ratio."""
    rounds = [
        {num_rows: read(features, seed=pair) for num_rows, features in caches.items()}
        for pair in range(pairs + 1)
    ][1:]
    return {
        "ratio": round(statistics.median(spent[LARGE] / spent[SMALL] for spent in rounds), 3),
        "row_cpu_us": {
            str(n): round(1e6 * statistics.median(spent[n] for spent in rounds) / ROWS_A_ROUND, 2)
            for n in caches
        },
    }


def main() -> None:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        caches, opening = {}, {}
        for num_rows in (SMALL, LARGE):
            features_of(Path(folder), num_rows=num_rows)
            opened = timed(partial(features_of, Path(folder), num_rows=num_rows))
            caches[num_rows], opening[str(num_rows)] = opened[0], round(opened[1], 2)
        rows = compare(caches, read_rows, pairs=options.pairs)
        pooled = compare(caches, read_pooled, pairs=options.pairs)
        caches.clear()
    result = {
        "benchmark": "feature_cache",
        "measured": datetime.now(UTC).strftime("%Y-%m-%d"),
        "hardware": f"{_cpu()}, {os.cpu_count()} cores, one thread",
        "versions": {name: version(name) for name in ("torch", "safetensors", "numpy")},
        "pairs": options.pairs,
        "max_ratio": _MAX_RATIO,
        "is_met": rows["ratio"] <= _MAX_RATIO,
        "row": rows,
        "pooled_vector_alone": pooled,
        "opening_cpu_s": opening,
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
