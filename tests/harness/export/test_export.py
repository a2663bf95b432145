"""An exported folder gives the images of the branch where this package cannot be imported."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from core.embedded.corpus.pairs import make_pair
from core.errors import UsageError
from harness.cli.main import app
from harness.export.export import _named_by_config
from harness.export.sources import copied_sources, named_by_content
from harness.generate.answer import Answer
from harness.generate.generate import GenerateOptions, parameters_of
from harness.generate.sounds import Sound
from harness.generate.trained import loaded_branch
from harness.run.plan import RunRequest

DrawnRun = Callable[[RunRequest], Path]

_SCRIPT = """
import sys
from importlib.abc import MetaPathFinder

class Blocked(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("core", "harness", "variants"):
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, Blocked())
import numpy as np
from diffusers import DiffusionPipeline

sound, out, *folders = sys.argv[1:]
waveform = np.load(sound)
images = []
for folder in folders:
    pipe = DiffusionPipeline.from_pretrained(folder, custom_pipeline=folder, trust_remote_code=True)
    images += [
        pipe(
            waveform, prompt="rain", audio_scale=scale, draw=1, noise_seed=5, output_type="np"
        ).images[0]
        for scale in (0.0, 1.0, 2.0)
    ]
assert not {"core", "harness", "variants"} & set(sys.modules)
np.save(out, np.stack(images))
"""


@pytest.fixture(scope="module")
def exported(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the session's run."""
    out = tmp_path_factory.mktemp("export") / "folder"
    words = ["export", finished.record.run_id, "--results", str(finished.request.results)]
    done = CliRunner().invoke(app, [*words, "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["lora"] == str(out / "lora/pytorch_lora_weights.safetensors")
    again = CliRunner().invoke(app, [*words, "--out", str(out)])
    assert "is not an empty folder" in str(again.exception)
    return out


def test_the_folders_of_three_branches_give_the_same_images_without_this_package(
    finished: Any,
    exported: Path,
    drawn_run: DrawnRun,
    small_request: Callable[..., RunRequest],
    tmp_path: Path,
) -> None:
    """Catches: a pipeline that needs us, that conditions, guides or decodes otherwise, or takes
    the code of one branch for that of another."""
    runs, folders = [finished.folder], [exported]
    for variant in ("sonic", "cutting_edge"):
        runs.append(drawn_run(small_request(variant=variant, results=tmp_path / "results")))
        folders.append(tmp_path / variant)
        done = CliRunner().invoke(app, ["export", str(runs[-1]), "--out", str(folders[-1])])
        assert done.exit_code == 0, done.output
    clip = make_pair("rain", seed=1, namespace="export", index=0).clip
    np.save(tmp_path / "sound.npy", clip)
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(tmp_path / "sound.npy"),
         str(tmp_path / "images.npy"), *map(str, folders)],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1",
             "HF_HOME": str(tmp_path / "hub")},
        capture_output=True,
        text=True,
        timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    options = GenerateOptions(num_draws=2, noise_seed=5)
    ours = []
    for run in runs:
        with loaded_branch(run, device="cpu") as branch:
            answer = Answer(branch, [clip], text="rain")
            ours += [
                answer.images(
                    parameters_of(
                        branch, Sound((), clip), options, text="rain", audio_scale=scale, draw=1
                    )
                )[0]
                for scale in (0.0, 1.0, 2.0)
            ]
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), np.stack(ours))
    for silent, once, _ in zip(*[iter(ours)] * 3, strict=True):
        assert (silent != once).any()  # the sound is heard in what was compared


def test_the_lora_file_loads_into_a_plain_unet(finished: Any, exported: Path) -> None:
    """Catches: a LoRA in names or a scale of our own that diffusers reads as another."""
    from diffusers import UNet2DConditionModel

    plain = UNet2DConditionModel.from_pretrained(exported / "unet").eval()
    size = plain.config.sample_size
    draw = torch.Generator().manual_seed(0)
    noisy = torch.randn(1, plain.config.in_channels, size, size, generator=draw)
    length = json.loads((exported / "branch.json").read_text())["shapes"]["num_text_tokens"]
    text = torch.randn(1, length, plain.config.cross_attention_dim, generator=draw)
    bare = plain(noisy, 500, encoder_hidden_states=text).sample.detach()
    plain.load_lora_adapter(
        exported / "lora", weight_name="pytorch_lora_weights.safetensors", prefix="unet"
    )
    plain.eval()
    with torch.no_grad(), loaded_branch(finished.folder, device="cpu") as branch:
        found = plain(noisy, 500, encoder_hidden_states=text).sample
        ours = branch.model.predict(noisy, torch.tensor([500]), text)
    torch.testing.assert_close(found, ours, rtol=1e-4, atol=1e-5)
    assert float((found - bare).abs().max()) > 1e-6


def test_copies_import_one_another_and_a_branch_of_the_harness_is_refused(tmp_path: Path) -> None:
    """Catches: an import of ours that was left in a copy."""
    copies = copied_sources(["variants.cutting_edge.variant", "core.sampling.sampler"])
    assert "core/conditioning/attention.py" in copies
    for name, text in copies.items():
        assert "from core" not in text, name
        assert "from variants" not in text, name
    with pytest.raises(UsageError, match="could not name its copy"):
        _named_by_config({"encoder": "embedded:x"}, config={"other": "y"})
    name, named = named_by_content(copies)
    assert name != named_by_content({**copies, "more.py": ""})[0]
    assert any(f"from {name}.core" in text for text in named.values())
    with pytest.raises(UsageError, match="runs the comparison"):
        copied_sources(["harness.generate.answer"])
