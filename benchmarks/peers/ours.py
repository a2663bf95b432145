"""What this project makes of the same weights, sounds and pictures, and how far it is off.

A relative error is the largest over rows of |ours - theirs| / |theirs| (2-norms).
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import soundfile
import torch
from safetensors.numpy import load_file

from core.foundation.catalogue import LPIPS_HEADS
from core.foundation.foundation import Foundation
from core.foundation.sources import resolve_source
from harness.metrics.distribution import frechet, kid
from harness.metrics.scorers import inception, lpips
from harness.metrics.scorers.inception import InceptionScorer, clean_resized
from harness.metrics.scorers.lpips import LpipsScorer
from harness.metrics.scorers.wav2clip import Wav2ClipScorer

ROOT = Path(__file__).resolve().parents[2]
EXPORTERS = ROOT / "harness" / "data" / "exporters"
CPU = torch.device("cpu")
TOLERANCE = 1e-5
TEXTS = ["a dog barks", "rain on a roof", "an engine"]


@dataclass(frozen=True)
class Agreement:
    """One comparison."""

    what: str
    """Ours against theirs, in words."""
    error: float
    """Relative, the largest of all rows."""
    tolerance: float | None
    """None: a documented difference, measured and not held."""

    @property
    def holds(self) -> bool:
        """Whether it lies within its tolerance, where it has one."""
        return self.tolerance is None or self.error <= self.tolerance

    def to_json(self) -> dict[str, object]:
        """As it is kept."""
        return {**asdict(self), "error": float(f"{self.error:.3g}"), "holds": self.holds}


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest relative error of the rows [N, ...].

    Raises: ValueError where theirs is empty, all zero in a row, or of another shape.
    """
    a, b = (np.asarray(x, dtype=np.float64).reshape(len(x), -1) for x in (ours, theirs))
    if a.shape != b.shape or not b.size or not np.linalg.norm(b, axis=1).all():
        raise ValueError(f"{a.shape} and {b.shape} cannot be compared, or a row is 0")
    return float((np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)).max())


def compare(folder: Path, step: str, *, environment: Path) -> list[Agreement]:
    """Every comparison of one step of `theirs.py`."""
    theirs = dict(np.load(folder / f"theirs-{step}.npz"))
    measures = {
        "laion": laion_clap,
        "laion-fusion": laion_clap,
        "msclap": msclap,
        "wav2clip": wav2clip,
        "lpips": lpips_distances,
        "inception": inception_features,
    }
    return list(measures[step](folder, step=step, theirs=theirs, environment=environment))


Arrays = dict[str, np.ndarray]


def laion_clap(
    folder: Path, *, step: str, theirs: Arrays, environment: Path
) -> Iterator[Agreement]:
    """The exporter, and the converted folder as runs hear with it."""
    files = sorted((folder / "sounds").glob("48k-*.wav"))
    checkpoint = folder / f"{step}.pt"
    exported = export("laion_clap", files, checkpoint=checkpoint, environment=environment)
    yield Agreement(
        "exporter against get_audio_embedding_from_data",
        relative(exported, theirs["data"]),
        TOLERANCE,
    )
    yield Agreement(
        "exporter against get_audio_embedding_from_filelist",
        relative(exported, theirs["files"]),
        TOLERANCE,
    )
    words = next((hub_home(folder) / "hub" / "models--roberta-base" / "snapshots").iterdir())
    converted = folder / f"{step}-converted"
    run_harness("convert", "clap", checkpoint, "--out", converted, "--tokenizer", words)
    foundation = Foundation(stable_diffusion="embedded:stable_diffusion", clap=str(converted))
    waves = [soundfile.read(file, dtype="float32")[0] for file in files]
    heard = foundation.encode_audio(waves).pooled_BD.numpy()
    yield Agreement(
        "converted folder against the package on sound it has not quantised",
        relative(heard, theirs["tensor"]),
        TOLERANCE,
    )
    yield Agreement(
        "converted folder against the package as usual, which rounds sound to 16 bits",
        relative(heard, theirs["data"]),
        None,
    )
    yield Agreement(
        "text of the converted folder against get_text_embedding",
        relative(foundation.encode_clap_text(TEXTS).numpy(), theirs["texts"]),
        TOLERANCE,
    )


def msclap(folder: Path, *, step: str, theirs: Arrays, environment: Path) -> Iterator[Agreement]:
    """The exporter against the wrapper's public call."""
    for group, words, tolerance in (
        ("44k", "7 s at 44.1 kHz", TOLERANCE),
        ("44s", "3 s at 44.1 kHz, repeated", TOLERANCE),
        ("48k", "first 7 s of 10 s at 48 kHz: soxr against torchaudio's resampler", None),
        ("stereo", "two channels: their mean against the wrapper's one after the other", None),
    ):
        exported = export(
            "msclap",
            sorted((folder / "sounds").glob(f"{group}-*.wav")),
            checkpoint=folder / "CLAP_weights_2023.pth",
            environment=environment,
        )
        yield Agreement(
            f"exporter against get_audio_embeddings, {words}",
            relative(exported, theirs[group]),
            tolerance,
        )


def wav2clip(folder: Path, *, step: str, theirs: Arrays, environment: Path) -> Iterator[Agreement]:
    """The scorer, from the released file and from the converted folder."""
    files = sorted((folder / "sounds").glob("48k-*.wav"))
    waves = [soundfile.read(file, dtype="float32")[0] for file in files]
    released = folder / "wav2clip"
    heard = Wav2ClipScorer(resolve_source(str(released)), device=CPU).embed(waves)
    alone = "scorer against embed_audio of each clip by itself"
    yield Agreement(alone, relative(heard, theirs["alone"]), TOLERANCE)
    converted = folder / "wav2clip-converted"
    run_harness("convert", "wav2clip", released / "Wav2CLIP.pt", "--out", converted)
    again = Wav2ClipScorer(resolve_source(str(converted)), device=CPU).embed(waves)
    yield Agreement(
        "converted folder against the same", relative(again, theirs["alone"]), TOLERANCE
    )
    yield Agreement(
        "scorer against embed_audio of all clips at once, which normalises over the batch",
        relative(heard, theirs["together"]),
        None,
    )


def lpips_distances(
    folder: Path, *, step: str, theirs: Arrays, environment: Path
) -> Iterator[Agreement]:
    """Distances of all pairs at 256 px; the package's heads are the released file."""
    heads = folder / "lpips" / "alex.pth"
    if hashlib.sha256(heads.read_bytes()).hexdigest() != LPIPS_HEADS.sha256:
        raise ValueError(f"the package's {heads.name} is not the file that the catalogue names")
    name = "alexnet-owt-7be5be79.pth"
    digest = hashlib.sha256((folder / "lpips" / name).read_bytes()).hexdigest()
    with patch.object(lpips, "BACKBONE_SHA256", {name: digest}):
        scorer = LpipsScorer(resolve_source(str(folder / "lpips")), device=CPU)
    distances = scorer.pairwise(sorted((folder / "pictures").glob("256-*.png")))
    apart = ~np.eye(len(distances), dtype=bool)
    yield Agreement(
        "scorer against lpips.LPIPS(net='alex'), its own linear heads, 256 px",
        relative(distances[apart][:, None], theirs["pairs"][apart][:, None]),
        TOLERANCE,
    )


def inception_features(
    folder: Path, *, step: str, theirs: Arrays, environment: Path
) -> Iterator[Agreement]:
    """Features, resizing and distances."""
    weights = folder / "inception" / inception.FILE_NAME
    with patch.object(inception, "SHA256", hashlib.sha256(weights.read_bytes()).hexdigest()):
        scorer = InceptionScorer(resolve_source(str(folder / "inception")), device=CPU)
    pictures = folder / "pictures"
    features = scorer.images(sorted(pictures.glob("299-*.png")))
    yield Agreement(
        "scorer against torch-fidelity's Inception at 299 px",
        relative(features, theirs["features"]),
        TOLERANCE,
    )
    for group, sizes in (("smaller", 512), ("larger", 64)):
        resized = np.stack([clean_resized(p) for p in sorted(pictures.glob(f"{sizes}-*.png"))])
        yield Agreement(
            f"resizing from {sizes} to 299 px against clean-fid's",
            relative(resized, theirs[group]),
            TOLERANCE,
        )
    sets = np.load(folder / "sets.npz")
    x, y = sets["x"], sets["y"]
    distance = np.array([frechet(x, real_MD=y)])
    kernel = np.array([kid(x, real_MD=y)])
    for name, ours, key in (
        ("Frechet distance against clean-fid's", distance, "frechet_cleanfid"),
        ("Frechet distance against torch-fidelity's", distance, "frechet_fidelity"),
        ("KID against clean-fid's, one subset of all", kernel, "kid_cleanfid"),
        ("KID against torch-fidelity's, one subset of all", kernel, "kid_fidelity"),
    ):
        yield Agreement(name, relative(ours, theirs[key][None]), TOLERANCE)


def export(name: str, files: list[Path], *, checkpoint: Path, environment: Path) -> np.ndarray:
    """[N, D] embeddings that our exporter wrote for the files, in their order."""
    out = checkpoint.with_name(f"exported-{checkpoint.stem}-{files[0].stem}")
    keys = {hashlib.sha256(file.read_bytes()).hexdigest(): file for file in files}
    clips = [{"sha256": key, "path": str(file)} for key, file in keys.items()]
    request = out.with_suffix(".json")
    request.write_text(json.dumps({"format": 1, "clips": clips}))
    script = EXPORTERS / f"export_{name}.py"
    words = [environment / "bin" / "python", script, "--request", request, "--out", out]
    run([*words, "--weights", checkpoint], folder=checkpoint.parent)
    index = json.loads((out / "embeddings.json").read_text())
    rows = load_file(out / index["rows"])["embeddings"]
    return np.stack([rows[index["keys"].index(key)] for key in keys])


def hub_home(folder: Path) -> Path:
    """HF_HOME of the packages."""
    return folder / "hub"


def run(command: list[str | Path], *, folder: Path) -> None:
    """Run a command of the packages' environment, offline, with the small hub.

    Raises: CalledProcessError.
    """
    kept = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "HF_HUB_CACHE"}}
    offline = {"HF_HOME": str(hub_home(folder)), "HF_HUB_OFFLINE": "1", "WANDB_MODE": "offline"}
    subprocess.run([str(word) for word in command], env={**kept, **offline}, check=True)


def run_harness(*words: str | Path) -> None:
    """Run our command line. Raises: CalledProcessError."""
    command = [sys.executable, "-m", "harness", *map(str, words)]
    subprocess.run(command, check=True, cwd=ROOT)
