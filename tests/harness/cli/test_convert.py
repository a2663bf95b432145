"""`harness convert` from a file to a folder that a run could use."""

import json
import shlex
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from core.errors import MismatchError
from core.foundation.mamba.config import MambaEncoderConfig
from core.foundation.mamba.encoder import MambaAudioEncoder
from harness.branches.registry import find_variant
from harness.cli.main import app
from harness.settings.load import load_profile
from tests.core.foundation.mamba.loaded import load_encoder

VIM = {"blocks": "layers", "mixer.shared": "mixer", "patch_embed": "patch_embed.proj"}


def aum_checkpoint(path: Path) -> Path:
    """A small AuM file with v1 blocks, our names turned into theirs."""
    config = MambaEncoderConfig(
        log_mel=(128, 32), width=16, depth=1, state_dim=4, layout="aum", block="v1"
    )
    state = {}
    for name, tensor in MambaAudioEncoder(config).state_dict().items():
        for ours, theirs in VIM.items():
            name = name.replace(ours, theirs)
        if name.startswith("norm."):
            name = name.replace("norm.", "norm_f.")
        state[name] = tensor
    state["cls_token"] = state.pop("cls_W")[None, None]
    state["pos_embed.pos_embed"] = state.pop("position_LW")[None]
    state |= {"head.weight": torch.zeros(527, 16), "head.bias": torch.zeros(527)}
    torch.save(state, path)
    return path


def test_convert_says_what_it_wrote_and_how_to_use_it(tmp_path: Path) -> None:
    """Catches: a command that writes an encoder no profile can name, or wraps the line to copy."""
    out = tmp_path / ("a_rather_long_name_" * 8)
    checkpoint = aum_checkpoint(tmp_path / "aum.pth")
    result = CliRunner().invoke(app, ["convert", "aum", str(checkpoint), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "layout aum  block v1  size own (width 16, depth 1)" in result.output
    assert "left out, not needed: head.bias, head.weight" in result.output
    assert f"--set variants.cutting_edge.pretrained={out}" in result.output
    assert load_encoder(out).config.block == "v1"


def test_convert_tells_scripts_the_same(tmp_path: Path) -> None:
    """Catches: JSON with something printed beside it."""
    checkpoint, out = aum_checkpoint(tmp_path / "aum.pth"), tmp_path / "out"
    command = ["convert", "aum", str(checkpoint), "--out", str(out), "--json"]
    told = json.loads(CliRunner().invoke(app, command).output)
    assert told["folder"] == str(out)
    assert told["settings"]["log_mel"] == [128, 32]
    assert told["left_out"] == ["head.bias", "head.weight"]


@pytest.mark.parametrize("profile", ["tiny", "sd15"])
def test_the_printed_settings_build_the_encoder_that_was_written(
    profile: str, tmp_path: Path
) -> None:
    """Catches: a line to copy whose encoder is refused, since layout or size is the profile's."""
    checkpoint, out = aum_checkpoint(tmp_path / "aum.pth"), tmp_path / "out"
    result = CliRunner().invoke(app, ["convert", "aum", str(checkpoint), "--out", str(out)])
    use = result.output.splitlines()[-1].removeprefix("use it with ")
    overrides = [item for item in shlex.split(use) if item != "--set"]
    settings = load_profile(profile, overrides=overrides).variants["cutting_edge"]
    config = find_variant("cutting_edge").load().Config(**settings)
    written = load_encoder(out).config
    assert config.encoder(log_mel=written.log_mel) == written
    assert config.sources() == {"mamba_encoder": str(out)}


@pytest.mark.parametrize("kind", ["ssamba", "clap"])
def test_convert_refuses_another_kind_of_checkpoint(kind: str, tmp_path: Path) -> None:
    """Catches: a subcommand that reads whatever it is given."""
    checkpoint = aum_checkpoint(tmp_path / "aum.pth")
    command = ["convert", kind, str(checkpoint), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, MismatchError)
    assert not (tmp_path / "out").exists()
