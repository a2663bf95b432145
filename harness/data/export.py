"""Embeddings of encoders that need an environment of their own: made there, read here."""

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from core.choices import AudioFeature
from core.data.splits.split import Split
from core.errors import HarnessError, UsageError, suggestion
from core.files import json_sha256, write_atomic
from harness.records.folders import ResultsFolder

_FORMAT = 1


@dataclass(frozen=True)
class ExternalEncoder:
    """An encoder with an exporter script and pinned requirements of its own."""

    name: str
    """Name for --encoder."""
    feature: AudioFeature
    """The feature it makes."""
    script: str
    """File in `harness/data/exporters`."""
    requirements: str
    """File beside it."""
    repository: str
    """Hub id its checkpoints come from."""
    checkpoint: str
    """File there that is taken when none is named."""


ENCODERS = {
    encoder.name: encoder
    for encoder in (
        ExternalEncoder(
            name="msclap",
            feature=AudioFeature.MSCLAP_POOLED,
            script="export_msclap.py",
            requirements="requirements-msclap.txt",
            repository="microsoft/msclap",
            checkpoint="CLAP_weights_2023.pth",
        ),
        ExternalEncoder(
            name="laion-clap",
            feature=AudioFeature.CLAP_POOLED,
            script="export_laion_clap.py",
            requirements="requirements-laion-clap.txt",
            repository="lukewys/laion_clap",
            checkpoint="630k-audioset-best.pt",
        ),
    )
}


@dataclass(frozen=True)
class Export:
    """What an export runs, and what it leaves."""

    encoder: ExternalEncoder
    request: Path
    """JSON file of the clips to encode."""
    out: Path
    """Folder of the embeddings."""
    setting: str
    """The `--set` item that lets a run read them."""
    commands: tuple[tuple[str, ...], ...]
    """Commands in order: fetch the checkpoint where it is lacking, make the environment, fill it,
    export."""


def require_known(encoder: str) -> ExternalEncoder:
    """The encoder of this name.

    Raises:
        UsageError: there is none.
    """
    if encoder not in ENCODERS:
        raise UsageError(
            f"no encoder named '{encoder}'; known: {', '.join(ENCODERS)}"
            f"{suggestion(encoder, ENCODERS)}"
        )
    return ENCODERS[encoder]


def plan_export(
    encoder: str, *, split: Split, weights: Path | None, results: Path, on_gpu: bool = False
) -> Export:
    """The commands of an export, after writing its request to `results/cache/embeddings/`.

    weights: the checkpoint; None takes the encoder's usual one, from the hub cache or by a command.

    Raises:
        UsageError: no such encoder, or no checkpoint at `weights`.
    """
    found = require_known(encoder)
    fetching: tuple[tuple[str, ...], ...] = ()
    if weights is None:
        weights, fetching = _usual_checkpoint(found, results=results)
    elif not weights.is_file():
        raise UsageError(
            f"no checkpoint at {weights}; name one of {found.repository}, such as "
            f"{found.checkpoint}, or drop --weights to fetch that one"
        )
    sounds = {sample.audio_sha256: sample.audio_path for sample in split.samples.values()}
    clips = [
        {"sha256": sha256, "path": str((split.root / path).resolve())}
        for sha256, path in sorted(sounds.items())
    ]
    body = {"format": _FORMAT, "clips": clips}
    folder = (ResultsFolder(results).embeddings / encoder).resolve()
    request = folder / f"request-{json_sha256(body)[:12]}.json"
    write_atomic(request, content=json.dumps(body, indent=1).encode())
    environment = (ResultsFolder(results).environments / encoder).resolve()
    python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    scripts = Path(str(files("harness.data"))) / "exporters"
    exporter = [str(python), str(scripts / found.script), "--request", str(request)]
    exporter += ["--out", str(folder), "--weights", str(weights.resolve())]
    return Export(
        encoder=found,
        request=request,
        out=folder,
        setting=f"foundation.exported.{found.feature.value}={folder}",
        commands=(
            *fetching,
            (sys.executable, "-m", "venv", str(environment)),
            (str(python), "-m", "pip", "install", "-r", str(scripts / found.requirements)),
            (*exporter, "--cuda") if on_gpu else tuple(exporter),
        ),
    )


def shell_lines(export: Export) -> list[str]:
    """The commands as a person would type them."""
    return [shlex.join(command) for command in export.commands]


def run_export(export: Export) -> None:
    """Run the commands; an environment that was filled before is used as it is.

    Raises:
        HarnessError: a command failed; what was exported so far is kept.
    """
    *fetching, make, fill, encode = export.commands
    ready = Path(encode[0]).parent.parent / ".ready"
    building = () if ready.is_file() else (make, fill)
    for step in (*fetching, *building, encode):
        # The packages of this environment must not reach into that one.
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        code = subprocess.run(step, env=environment, check=False).returncode
        if code != 0:
            raise HarnessError(
                f"the export of {export.encoder.name} stopped with exit code {code} at: "
                f"{shlex.join(step)}"
            )
        if step is fill:
            ready.touch()


def _usual_checkpoint(
    encoder: ExternalEncoder, *, results: Path
) -> tuple[Path, tuple[tuple[str, ...], ...]]:
    """The encoder's usual checkpoint, and the command that fetches it where it is lacking."""
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(encoder.repository, encoder.checkpoint)
    if isinstance(cached, str):
        return Path(cached), ()
    folder = (ResultsFolder(results).environments / f"{encoder.name}-weights").resolve()
    path = folder / encoder.checkpoint
    if path.is_file():
        return path, ()
    hf = str(Path(sys.executable).parent / "hf")
    fetch = (hf, "download", encoder.repository, encoder.checkpoint, "--local-dir", str(folder))
    return path, (fetch,)
