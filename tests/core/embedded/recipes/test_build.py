"""The one command that rebuilds the embedded models, at a smoke test's size."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file
from transformers import ClapModel, ClapProcessor, CLIPModel

from core.embedded.recipes.build import PARTS, main
from core.foundation.judge import Judge
from core.foundation.source_judge import SourceJudge
from tests.core.foundation.mamba.loaded import load_encoder

SMOKE = ["--steps-scale", "0.0005"]


def _hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.parent != folder
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All parts, built by the command."""
    out = tmp_path_factory.mktemp("built")
    main(["--out", str(out), *SMOKE])
    return out


def test_the_command_builds_every_model_in_its_librarys_format(built: Path) -> None:
    """Catches: a part that no longer runs, or writes what its library cannot load."""
    local = {"local_files_only": True}
    pipeline = StableDiffusionPipeline.from_pretrained(
        built / "stable_diffusion", safety_checker=None, **local
    )
    assert pipeline.vae_scale_factor == 8
    ClapModel.from_pretrained(built / "clap", **local)
    ClapProcessor.from_pretrained(built / "clap", **local)
    CLIPModel.from_pretrained(built / "clip", **local)
    load_encoder(built / "mamba_encoder")
    for name in ("image_judge", "audio_judge"):
        Judge.from_pretrained(built / name, **local)
    SourceJudge.from_pretrained(built / "source_judge", **local)


def test_the_record_tells_of_every_part_and_file(built: Path) -> None:
    """Catches: weights of unknown origin."""
    record = json.loads((built / "PROVENANCE.json").read_text())
    assert set(record["parts"]) == set(PARTS)
    for facts in record["parts"].values():
        assert {"seed", "recipes", "samples", "seconds", "held_out"} <= set(facts)
    assert record["sha256"] == _hashes(built)
    assert "torch" in record["libraries"]


def test_two_builds_are_equal_to_the_bit(built: Path, tmp_path: Path) -> None:
    """Catches: a draw that is not named by the seed, in any part that draws differently."""
    main(["--out", str(tmp_path), *SMOKE, "--part", "vae", "clap", "mamba"])
    theirs = _hashes(built)
    for name, digest in _hashes(tmp_path).items():
        if "vae" not in name:
            assert theirs[name] == digest, name
    first, second = (
        load_file(folder / "stable_diffusion" / "vae" / "diffusion_pytorch_model.safetensors")
        for folder in (built, tmp_path)
    )
    assert set(first) == set(second)
    # The full build trained the decoder on; what makes latents must repeat.
    trained_on = ("decoder.", "post_quant_conv.")
    latents = [name for name in first if not name.startswith(trained_on)]
    assert latents
    for name in latents:
        assert torch.equal(first[name], second[name]), name


def test_another_seed_gives_other_weights(built: Path, tmp_path: Path) -> None:
    """Catches: a seed that is written down but not used."""
    main(["--out", str(tmp_path), *SMOKE, "--part", "clap", "--seed", "1"])
    one, two = (
        ClapModel.from_pretrained(folder / "clap", local_files_only=True)
        for folder in (built, tmp_path)
    )
    assert not torch.equal(one.audio_projection.linear1.weight, two.audio_projection.linear1.weight)


def test_a_part_built_out_of_order_names_what_is_missing(tmp_path: Path) -> None:
    """Catches: a file-not-found deep inside a library."""
    with pytest.raises(FileNotFoundError, match="build it first with --part vae"):
        main(["--out", str(tmp_path), *SMOKE, "--part", "judges"])
