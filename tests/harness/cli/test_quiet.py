"""What a command leaves on a console and in a log file: the harness's own lines, and no others."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from core.embedded import WEIGHTS
from harness.run.plan import RunRequest

COMMIT = "c" * 40
MODELS = {"stable_diffusion": "foundation", "clap": "foundation", "clip": "scorers"}
OURS = (
    "reading ",
    "encoding ",
    "features: ",
    "checking ",
    "stage",
    "generating ",
    "scoring ",
    "cache ",
)


def fill_hub_cache(cache: Path) -> list[str]:
    """The embedded models as `hf download` would leave them; the settings that name them."""
    settings = []
    for role, group in MODELS.items():
        repository = cache / f"models--own--{role}"
        shutil.copytree(WEIGHTS / role, repository / "snapshots" / COMMIT)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(COMMIT)
        settings += ["--set", f"{group}.{role}=own/{role}"]
    return settings


def test_a_run_from_the_hubs_cache_prints_its_own_lines_alone(
    tmp_path: Path, small_request: Callable[..., RunRequest]
) -> None:
    """Catches: notes of a library about the hub, its warnings, and progress bars in a log file."""
    words = small_request(results=tmp_path / "results").words[1:]
    settings = fill_hub_cache(tmp_path / "hub")
    done = subprocess.run(
        [sys.executable, "-m", "harness", *words, *settings, "--score", "loss"],
        capture_output=True,
        text=True,
        timeout=300,
        env={name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
        | {"HF_HUB_CACHE": str(tmp_path / "hub")},
    )
    assert done.returncode == 0, done.stderr
    assert "\r" not in done.stdout + done.stderr
    first, *lines = [line for line in done.stderr.splitlines() if not line.startswith(OURS)]
    assert " on the CPU" in first
    assert lines == []
