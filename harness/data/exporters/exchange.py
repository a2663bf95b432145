"""The exporters' common part: clips in, one row an embedding out. Needs nothing of the harness.

The request is a JSON file: {"format", "clips": [{"sha256", "path"}]}. The answer is a folder:
`embeddings.json` says what made them, the keys in the rows' order and the name and hash of the
file of rows, `embeddings-<hash>.safetensors` with the tensor `embeddings` [N, D] float32. The key
of silence is "silence".

Shape legend: B batch, T samples, D embedding width, N rows.
"""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr
from safetensors.numpy import load_file, save_file

FORMAT = 1
SILENCE = "silence"
INDEX = "embeddings.json"
SAVE_EVERY = 16

# Mono windows float32 [B, T] in [-1, 1] to embeddings float32 [B, D].
Encode = Callable[[np.ndarray], np.ndarray]


def arguments(description: str) -> argparse.Namespace:
    """What every exporter takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--request", type=Path, required=True, help="JSON file of clips")
    parser.add_argument("--out", type=Path, required=True, help="folder of the embeddings")
    parser.add_argument("--weights", type=Path, required=True, help="checkpoint file")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--cuda", action="store_true", help="encode on the GPU")
    given = parser.parse_args()
    if not given.weights.is_file():
        sys.exit(f"no checkpoint at {given.weights}; download it first and name the file")
    return given


def export(
    given: argparse.Namespace,
    *,
    encode: Encode,
    encoder: str,
    package: str,
    sample_rate_hz: int,
    window_s: float,
    is_normalised: bool,
) -> None:
    """Encode the clips that the answer lacks and write it; an interrupted export goes on."""
    made_by = {
        "format": FORMAT,
        "encoder": encoder,
        "package": package,
        "weights_sha256": file_sha256(given.weights),
        "sample_rate_hz": sample_rate_hz,
        "window_s": window_s,
        "is_normalised": is_normalised,
    }
    request = json.loads(given.request.read_text(encoding="utf-8"))
    if request.get("format") != FORMAT:
        sys.exit(f"{given.request} is not a request of format {FORMAT}")
    paths = {clip["sha256"]: Path(clip["path"]) for clip in request["clips"]}
    given.out.mkdir(parents=True, exist_ok=True)
    keys, rows = _answered(given.out, made_by=made_by)
    missing = [key for key in (*paths, SILENCE) if key not in set(keys)]
    num_samples = round(window_s * sample_rate_hz)
    for done, batch in enumerate(_batches(missing, size=given.batch_size), start=1):
        windows_BT = np.stack(
            [
                np.zeros(num_samples, np.float32)
                if key == SILENCE
                else window(paths[key], key=key, rate_hz=sample_rate_hz, num_samples=num_samples)
                for key in batch
            ]
        )
        encoded_BD = np.asarray(encode(windows_BT), dtype=np.float32)
        if encoded_BD.ndim != 2 or len(encoded_BD) != len(batch):
            sys.exit(f"{encoder} gave {encoded_BD.shape} for {len(batch)} clips; expected rows")
        if not np.isfinite(encoded_BD).all():
            sys.exit(f"{encoder} gave a value that is not finite for one of {', '.join(batch)}")
        keys += batch
        rows += list(encoded_BD)
        print(f"{encoder}: {len(keys)}/{len(paths) + 1}", flush=True)
        if done % SAVE_EVERY == 0:
            _save(given.out, made_by=made_by, keys=keys, rows=rows)
    _save(given.out, made_by=made_by, keys=keys, rows=rows)


def window(path: Path, *, key: str, rate_hz: int, num_samples: int) -> np.ndarray:
    """The first `num_samples` of a clip, mono float32 [T] at `rate_hz`; short ones repeat."""
    if file_sha256(path) != key:
        sys.exit(f"{path} is not the file that was locked; clean and split the data again")
    try:
        samples_TC, found_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        sys.exit(
            f"{path} cannot be read by the soundfile {soundfile.__version__} of this environment "
            f"({error.error_string}); update it: pip install -U soundfile"
        )
    mono_T = samples_TC.mean(axis=1)
    if found_hz != rate_hz:
        mono_T = soxr.resample(mono_T, found_hz, rate_hz)
    if len(mono_T) == 0:
        sys.exit(f"{path} holds no samples; clean the data first")
    repeats = -(-num_samples // len(mono_T))
    return np.tile(mono_T, repeats)[:num_samples].astype(np.float32)


def file_sha256(path: Path) -> str:
    """Lower-case hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _batches(keys: Sequence[str], *, size: int) -> Iterator[list[str]]:
    for start in range(0, len(keys), size):
        yield list(keys[start : start + size])


def _answered(out: Path, *, made_by: dict[str, object]) -> tuple[list[str], list[np.ndarray]]:
    if not (out / INDEX).is_file():
        return [], []
    index = json.loads((out / INDEX).read_text(encoding="utf-8"))
    differing = [name for name, value in made_by.items() if index.get(name) != value]
    if differing:
        sys.exit(f"{out} holds embeddings with another {', '.join(differing)}; use another folder")
    rows = out / index["rows"]
    if not rows.is_file() or file_sha256(rows) != index["rows_sha256"]:
        sys.exit(f"{rows} is damaged; delete {out} and export again")
    return list(index["keys"]), list(load_file(rows)["embeddings"])


def _save(
    out: Path, *, made_by: dict[str, object], keys: list[str], rows: list[np.ndarray]
) -> None:
    temporary = out / ".rows"
    save_file({"embeddings": np.stack(rows)}, temporary)
    sha256 = file_sha256(temporary)
    name = f"embeddings-{sha256[:16]}.safetensors"
    os.replace(temporary, out / name)
    index = {**made_by, "keys": keys, "rows": name, "rows_sha256": sha256}
    temporary = out / ".index"
    temporary.write_text(json.dumps(index, indent=1), encoding="utf-8")
    os.replace(temporary, out / INDEX)
    for older in out.glob("embeddings-*.safetensors"):
        if older.name != name:
            older.unlink()
