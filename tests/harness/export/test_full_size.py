"""Generating, editing, exporting and the demo at the sizes of Stable Diffusion v1.5.

The weights are random, so the images are noise; shapes, files, loading and memory are real. Images
have 128 pixels and take one step: a CPU takes minutes for each of 512.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image
from typer.testing import CliRunner

from benchmarks.random_weights import write_random_weights
from core.embedded.corpus.pairs import make_pair
from harness.cli.main import app
from harness.demo.respond import Limits, Responder
from harness.generate.image_file import read_image
from harness.run.plan import RunRequest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

DrawnRun = Callable[[RunRequest], Path]
BRANCHES = ("baseline", "sonic", "cutting_edge")
SMALL = 16
"""Side of the latents."""
_LOAD = """
import sys
from importlib.abc import MetaPathFinder

class Blocked(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("core", "harness", "variants"):
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, Blocked())
import numpy as np
import soundfile
from diffusers import DiffusionPipeline

folder, sound, out = sys.argv[1:]
pipe = DiffusionPipeline.from_pretrained(folder, custom_pipeline=folder, trust_remote_code=True)
waveform, _ = soundfile.read(sound, dtype="float32")
found = pipe(waveform, prompt="", draw=0, noise_seed=0, output_type="np")
np.save(out, found.images[0])
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Random weights of the true sizes, removed at the end: 3.2 GB."""
    folder = tmp_path_factory.mktemp("sd15")
    write_random_weights(folder)
    yield folder
    shutil.rmtree(folder)


def set_latents(weights: Path, side: int) -> None:
    """The size of image that the foundation is of."""
    path = weights / "sd15" / "unet" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "sample_size": side}))


@pytest.fixture(scope="module")
def runs(
    weights: Path,
    small_request: Callable[..., Any],
    drawn_run: DrawnRun,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """Untrained runs of the three branches, by name, on the small latents."""
    set_latents(weights, SMALL)
    results = tmp_path_factory.mktemp("full-size") / "results"
    return {
        name: full_run(
            name, weights=weights, small_request=small_request, drawn_run=drawn_run, results=results
        )
        for name in BRANCHES
    }


def full_run(
    variant: str,
    weights: Path,
    small_request: Callable[..., Any],
    drawn_run: DrawnRun,
    results: Path,
) -> Path:
    """The folder of a run of true size."""
    request = small_request(
        f"foundation.stable_diffusion={weights}/sd15",
        f"foundation.clap={weights}/clap",
        f"scorers.clip={weights}/clip",
        "foundation.dtype=float32",
        "training.precision=float32",
        variant=variant,
        profile="sd15",
        device="cpu",
        results=results,
    )
    return drawn_run(request)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of fire."""
    path = tmp_path_factory.mktemp("sound") / "fire.wav"
    soundfile.write(path, make_pair("fire", seed=3, namespace="full", index=0).clip, 48_000)
    return path


def harness(*words: object) -> dict[str, Any]:
    """What a command prints as JSON."""
    done = CliRunner().invoke(app, [*map(str, words), "--device", "cpu", "--json"])
    assert done.exit_code == 0, (done.output, done.exception)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_three_branches_generate_and_edit_side_by_side(
    runs: dict[str, Path], sound: Path, tmp_path: Path
) -> None:
    """Catches: a shape, a file or a default that fits the small models alone."""
    found = harness("generate", *runs.values(), "--audio", sound, "--out", tmp_path / "generated")
    assert [image["branch"] for image in found["images"]] == list(BRANCHES)
    pixels = [read_image(Path(image["path"]))[0] for image in found["images"]]
    assert {image.shape for image in pixels} == {(8 * SMALL, 8 * SMALL, 3)}
    results = runs["sonic"].parents[1]
    again = harness("generate", "--again", found["images"][1]["path"], "--results", results)
    assert again["is_equal"]
    picture = tmp_path / "picture.png"
    Image.fromarray(make_pair("rain", seed=3, namespace="full", index=0).image).save(picture)
    edited = harness(
        "edit", runs["sonic"], "--image", picture, "--audio", sound, "--steps", 2,
        "--strength", 1, "--keep", "all", "--out", tmp_path / "edited",
    )  # fmt: skip
    assert (edited["steps_taken"], edited["steps_kept"]) == (2, 1)
    assert np.isfinite(edited["inversion_rmse"])


def test_the_exported_folder_gives_the_same_image_without_this_package(
    runs: dict[str, Path], sound: Path, tmp_path: Path
) -> None:
    """Catches: an export that only the small models survive."""
    words = ["generate", runs["sonic"], "--audio", sound, "--out", tmp_path / "ours"]
    (image,) = harness(*words)["images"]
    done = CliRunner().invoke(app, ["export", str(runs["sonic"]), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    loaded = subprocess.run(
        [sys.executable, "-c", _LOAD, str(tmp_path / "out"), str(sound), str(tmp_path / "i.npy")],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1",
             "HF_HOME": str(tmp_path / "hub")},
        capture_output=True,
        text=True,
        timeout=900,
    )  # fmt: skip
    assert loaded.returncode == 0, loaded.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "i.npy"), read_image(Path(image["path"]))[0])
    shutil.rmtree(tmp_path / "out")


def test_the_demo_answers(runs: dict[str, Path], sound: Path) -> None:
    """Catches: a demo that cannot change from one large branch to the next."""
    two = {name: runs[name] for name in BRANCHES[:2]}
    responder = Responder(two, window_s=10.0, device="cpu", limits=Limits())
    shown, _ = responder.respond(sound, text="", audio_scale=1.0, num_seeds=1)
    assert [one.words for one in shown] == ["baseline, noise 0", "sonic, noise 0"]
