"""What a data set with captions alone costs to ingest, clean and split, at 500 to 8,500 pairs.

    python benchmarks/free_captions.py [--out benchmarks/results/free_captions.json] [--pairs 5002]

The set is made: rows of `id, audio_path, frame_path, caption, split` in `metadata_validated.json`,
as sets made from AudioCaps have them; small sounds (0.6 s, 8 kHz) and pictures (24 x 24) of
different content, captions of one to three sources. After each step it is checked that every pair,
caption and part is there. With `--pairs N` only that one set is made and checked.

Each step of each size runs in a process of its own, one thread: CPU time of the process with what
it imports, and its largest memory. Slope: of log CPU time, less that of the same step on 50 pairs,
over log N.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import soundfile
from PIL import Image

from core.data.manifest import Manifest

NUM_PAIRS = (500, 2_000, 8_500)
FEWEST = 50
STEPS = ("ingest", "clean", "split")
_MAX_SLOPE = 1.1
_WHO = ("a dog", "a man", "a woman", "a child", "a crowd", "an engine", "a train", "a bird")
_DOES = ("barks", "speaks", "laughs", "hums", "rattles", "sings", "whistles", "clicks")
_WHERE = ("nearby", "far off", "in a room", "outside", "by the water")


PARTS = {"train": "train", "validation": "val", "test": "test"}
"""Words of the split column, and what they are read as."""


def part_of(index: int) -> str:
    """Eight of ten clips train."""
    return "train" if index % 10 < 8 else ("validation", "test")[index % 2]


def made_caption(draw: np.random.Generator) -> str:
    """A caption of one to three sources."""
    number = int(draw.integers(1, 4))
    parts = [f"{_WHO[draw.integers(8)]} {_DOES[draw.integers(8)]}" for _ in range(number)]
    return f"{' while '.join(parts)} {_WHERE[draw.integers(5)]}"


def write_set(folder: Path, *, num_pairs: int) -> None:
    """A made set of so many pairs."""
    (folder / "audio").mkdir(parents=True)
    (folder / "frames").mkdir()
    rows = []
    for index in range(num_pairs):
        draw = np.random.default_rng(index)
        name = f"Y{index:05d}"
        noise = draw.integers(-6_000, 6_000, 4_800, dtype=np.int16)
        soundfile.write(folder / f"audio/{name}.wav", noise, 8_000)
        pixels = draw.integers(0, 256, (24, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"frames/{name}.png")
        paths = {"audio_path": f"audio/{name}.wav", "frame_path": f"frames/{name}.png"}
        rows.append({"id": name, **paths, "caption": made_caption(draw), "split": part_of(index)})
    (folder / "metadata_validated.json").write_text(json.dumps({"samples": rows}))


def command(step: str, work: Path) -> list[str]:
    """The words of a step after `harness`."""
    words = {
        "ingest": ["ingest", str(work / "media"), "--out", str(work / "set")],
        "clean": ["clean", str(work / "set"), "--workers", "1"],
        "split": ["split", str(work / "set"), "--out", str(work / "lock.json")],
    }
    return ["data", *words[step], "--json"]


def run_step(step: str, work: Path) -> tuple[dict[str, float], dict[str, object]]:
    """CPU seconds and MiB of a step in a process of its own, and what it printed."""
    code = "import sys; from harness.cli.main import main; sys.argv[0] = 'harness'; main()"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    measured = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:], capture_output=True, text=True)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        "print(done.stdout if done.returncode == 0 else done.stderr)\n"
        "sys.exit(done.returncode)"
    )
    words = [sys.executable, "-c", measured, sys.executable, "-c", code, *command(step, work)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{step} failed: {done.stdout}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    memory, _, output = done.stdout.partition("\n")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    seconds = {
        "cpu_s": round(cpu, 3),
        "wall_s": round(time.perf_counter() - start, 3),
        "peak_mib": round(int(memory) / 1024, 1),
    }
    return seconds, json.loads(output)


def measure(num_pairs: int) -> dict[str, dict[str, float]]:
    """Every step on a made set; what each kept is checked."""
    with tempfile.TemporaryDirectory(prefix="free-captions-") as folder:
        work = Path(folder)
        write_set(work / "media", num_pairs=num_pairs)
        found: dict[str, dict[str, float]] = {}
        for step in STEPS:
            found[step], said = run_step(step, work)
            check(step, said, num_pairs=num_pairs)
        parts = Counter(item.official_split for item in Manifest.load(work / "set").items)
        expected = Counter(PARTS[part] for part in map(part_of, range(num_pairs)))
        if parts != expected:
            raise SystemExit(f"the split column is {parts}; expected {expected}")
        return found


def check(step: str, said: dict[str, object], *, num_pairs: int) -> None:
    """Raises: SystemExit where a pair, a caption or a part was lost."""
    if step == "ingest":
        kept = [said[name] for name in ("kind", "kept", "excluded", "captions", "labels")]
        is_whole = kept == ["captions", num_pairs, 0, num_pairs, 0]
    elif step == "clean":
        is_whole = said["included"] == num_pairs
    else:
        samples = said["samples"]
        assert isinstance(samples, dict)
        is_whole = sum(samples.values()) == num_pairs and said["cap"] is None
    if not is_whole:
        raise SystemExit(f"{step} of {num_pairs} pairs did not keep them all: {said}")


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--pairs", type=int)
    asked = parser.parse_args()
    if asked.pairs is not None:
        print(json.dumps({asked.pairs: measure(asked.pairs)}, indent=1))
        return
    start = measure(FEWEST)
    found = {number: measure(number) for number in NUM_PAIRS}
    slopes = {}
    for step in STEPS:
        cpu = [found[n][step]["cpu_s"] - start[step]["cpu_s"] for n in NUM_PAIRS]
        slopes[step] = float(np.polyfit(np.log(NUM_PAIRS), np.log(cpu), 1)[0])
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "steps": {str(number): found[number] for number in NUM_PAIRS},
        "start": start,
        "slope_of_cpu": slopes,
        "is_linear": all(slope <= _MAX_SLOPE for slope in slopes.values()),
    }
    text = json.dumps(result, indent=1) + "\n"
    print(text)
    if asked.out:
        asked.out.write_text(text)


if __name__ == "__main__":
    main()
