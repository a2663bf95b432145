"""What cleaning and preparing a pair costs, against librosa and Pillow used plainly.

    python benchmarks/data_cleaning.py [--rounds 7] [--out benchmarks/results/data_cleaning.json]

Media have the sizes of the user's: wavs of 10 s, 48 kHz, mono, 16 bit (960,078 bytes less the
comment) and jpgs of 640 x 360 and about 31 KiB, all of different content.

Ratio. `plain` turns a pair into a mel spectrogram in dB (16 kHz, 128 bands, 25 ms every 10 ms) and
a picture of 512 x 512 by nothing but `librosa.load(sr=16000)`, `melspectrogram`, `power_to_db`, and
Pillow's `convert("RGB")` and `resize((512, 512), LANCZOS)`, with no check at all. Against it stand

- `clean_and_mel`: cleaning (hash, decode, faults, level, fingerprint, perceptual hash, manifest,
  near duplicates) of both files, then decode, resampling and log-mel of the sound;
- `clean_and_prepare`: the same, and the picture's crop and LANCZOS to 512 x 512, each file checked
  against its lock: all that `harness run` does before the first encoder.

One process, one thread, in turn, CPU time, medians over the rounds.

Growth. A process of its own for each N cleans N files; slope of log CPU time over log N, and the
largest memory of each.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import soundfile
import torch
from PIL import Image

from core.data.cleaning.clean import clean_manifest
from core.data.ingest.folder import scan_folder
from core.data.media.decode_audio import SAMPLE_RATE_HZ, decode_audio, resample
from core.features.locked_media import LockedMedia
from core.features.log_mel import LogMelSettings, log_mel

NUM_FILES = (166, 332, 664, 1_328, 2_656, 4_109)
MAX_REPEATS, FILES_A_REPEAT = 3, 2_000
PAIRS_A_ROUND = 60
SIDE_PX = 512
SETTINGS = LogMelSettings()
_MAX_SLOPE, _MIN_RATIO = 1.05, 1.4


def write_media(folder: Path, *, num_files: int, first: int = 0) -> None:
    """Pairs of one class; an odd file is a sound without a picture."""
    (folder / "rain").mkdir(parents=True, exist_ok=True)
    for index in range(first, (num_files + 1) // 2):
        generator = np.random.default_rng(index)
        noise = generator.integers(-6_000, 6_000, 480_000, dtype=np.int16)
        soundfile.write(folder / f"rain/{index:05}.wav", noise, 48_000)
        if 2 * index + 1 < num_files:
            _picture(generator).save(folder / f"rain/{index:05}.jpg", quality=80)


def _picture(generator: np.random.Generator) -> Image.Image:
    cells = generator.integers(0, 256, (9, 16, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(cells).resize((640, 360), Image.Resampling.BICUBIC))
    grain = generator.integers(-7, 8, (360, 640, 1), dtype=np.int16)
    return Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8))


def clean_and_mel(folder: Path) -> None:
    """Clean a folder, then make the log-mel spectrogram of each sound."""
    manifest = clean_manifest(scan_folder(folder).manifest(), num_workers=1)
    for sample in manifest.samples:
        _log_mel(decode_audio(manifest.root / sample.audio_path, window_s=10.0))


def clean_and_prepare(folder: Path) -> None:
    """Clean a folder, then make all that the encoders get, from files checked against the lock."""
    manifest = clean_manifest(scan_folder(folder).manifest(), num_workers=1)
    samples = {sample.id: sample for sample in manifest.samples}
    media = LockedMedia(samples, root=manifest.root, window_s=10.0)
    for sample in samples.values():
        _log_mel(media.waveform(sample.audio_sha256))
        media.image(sample.image_sha256, size=SIDE_PX, flip=False)


def _log_mel(waveform_S: np.ndarray) -> None:
    small_S = resample(waveform_S, from_hz=SAMPLE_RATE_HZ, to_hz=SETTINGS.sample_rate_hz)
    log_mel(torch.from_numpy(small_S)[None], settings=SETTINGS)


def plain(folder: Path) -> None:
    """The same results by librosa and Pillow, without any check."""
    import librosa

    for sound in sorted((folder / "rain").glob("*.wav")):
        waveform, rate = librosa.load(sound, sr=SETTINGS.sample_rate_hz, mono=True)
        mel = librosa.feature.melspectrogram(
            y=waveform,
            sr=rate,
            n_fft=512,
            win_length=400,
            hop_length=160,
            n_mels=SETTINGS.num_mels,
            fmin=SETTINGS.f_min_hz,
            fmax=SETTINGS.f_max_hz,
        )
        librosa.power_to_db(mel)
        picture = Image.open(sound.with_suffix(".jpg")).convert("RGB")
        np.asarray(picture.resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS))


def measure_ratio(*, rounds: int) -> dict[str, object]:
    """Median CPU milliseconds a pair of media of each side, and the medians of the ratios."""
    sides = (clean_and_mel, clean_and_prepare, plain)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_media(folder, num_files=2 * PAIRS_A_ROUND)
        sizes = [path.stat().st_size for path in (folder / "rain").glob("*.jpg")]
        for side in sides:  # imports, plans of the transforms, librosa's compiled parts
            side(folder)
        times = [[1e3 * _cpu_s(side, folder) / PAIRS_A_ROUND for side in sides]
                 for _ in range(rounds)]  # fmt: skip
    by_side = dict(zip((side.__name__ for side in sides), zip(*times, strict=True), strict=True))
    result: dict[str, object] = {
        "cpu_ms_a_pair": {name: statistics.median(found) for name, found in by_side.items()},
        "jpg_bytes_median": statistics.median(sizes),
        "rounds": rounds,
        "pairs_of_media_a_round": PAIRS_A_ROUND,
    }
    for name in ("clean_and_mel", "clean_and_prepare"):
        ratios = [theirs / own for own, theirs in zip(by_side[name], by_side["plain"], strict=True)]
        result[name] = {"ratio": statistics.median(ratios), "ratios": ratios}
    return result


def _cpu_s(work: Callable[[Path], None], folder: Path) -> float:
    start = time.process_time()
    work(folder)
    return time.process_time() - start


def measure_growth() -> dict[str, object]:
    """CPU seconds and peak memory of cleaning N files, each N in processes of its own."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder, first = Path(name), 0
        for num_files in NUM_FILES:
            write_media(folder, num_files=num_files, first=first)
            first = num_files // 2
            found = []
            for _ in range(max(1, min(MAX_REPEATS, FILES_A_REPEAT // num_files))):
                command = [sys.executable, __file__, "--clean-only", str(folder)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found.append(json.loads(done.stdout))
            rows.append(
                {
                    "files": num_files,
                    "repeats": len(found),
                    "cpu_s": statistics.median(row["cpu_s"] for row in found),
                    "peak_mib": statistics.median(row["peak_mib"] for row in found),
                    "before_mib": statistics.median(row["before_mib"] for row in found),
                }
            )
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    logs = [[np.log(row[key]) for row in rows] for key in ("files", "cpu_s")]
    return {"slope": float(np.polyfit(*logs, 1)[0]), "rows": rows}


def clean_only(folder: Path) -> dict[str, float]:
    """Cost of one cleaning in this process, imports not counted."""
    before = _peak_mib()
    start = time.process_time()
    clean_manifest(scan_folder(folder).manifest(), num_workers=1)
    return {
        "cpu_s": time.process_time() - start,
        "before_mib": before,
        "peak_mib": _peak_mib(),
    }


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="rounds of A B; at least 5")
    parser.add_argument("--out", type=Path, default=None, help="JSON file of the results")
    parser.add_argument("--only", choices=("ratio", "growth"), default=None)
    parser.add_argument("--clean-only", type=Path, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.clean_only:
        print(json.dumps(clean_only(options.clean_only)))
        return
    result: dict[str, object] = {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {
            name: version(name) for name in ("numpy", "torch", "librosa", "pillow", "soxr")
        },
    }
    if options.only != "growth":
        result["ratio"] = found = measure_ratio(rounds=options.rounds)
        for name in ("clean_and_mel", "clean_and_prepare"):
            print(f"{name}: {found[name]['ratio']:.2f} times plain", file=sys.stderr)
        print(f"(wanted of clean_and_mel: at least {_MIN_RATIO})", file=sys.stderr)
    if options.only != "ratio":
        result["growth"] = grown = measure_growth()
        print(f"slope {grown['slope']:.3f} (wanted: at most {_MAX_SLOPE})", file=sys.stderr)
    text = json.dumps(result, indent=1)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
