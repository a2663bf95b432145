"""Stable Diffusion v1.5 and LAION-CLAP in their true sizes, on the meta device."""

from pathlib import Path

import pytest
import torch

from core.errors import MissingWeightsError
from core.foundation.architecture import Architecture, read_architecture
from core.foundation.foundation import Foundation
from harness.settings.load import load_profile

LOG_MEL = (128, 1024)


@pytest.fixture(scope="module")
def full_size() -> Architecture:
    profile = load_profile("sd15")
    return read_architecture(profile.foundation.stable_diffusion, profile.foundation.clap)


def test_the_full_unet_has_the_published_size(full_size: Architecture) -> None:
    """Catches: a shipped config that is not SD v1.5's."""
    unet = full_size.meta_unet()
    assert {parameter.device for parameter in unet.parameters()} == {torch.device("meta")}
    assert sum(parameter.numel() for parameter in unet.parameters()) == 859_520_964


def test_full_size_shapes_are_what_the_branches_were_designed_for(full_size: Architecture) -> None:
    """Catches: a full-size branch built for other widths than the real models have."""
    shapes = full_size.shapes(log_mel=LOG_MEL, num_classes=8)
    assert len(shapes.blocks) == 16
    assert (shapes.context_dim, shapes.num_text_tokens) == (768, 77)
    assert (shapes.clap_pooled_dim, shapes.clap_sequence) == (512, (32, 1024))


def test_small_shapes_from_configs_equal_those_of_the_loaded_models() -> None:
    """Catches: a count in `harness list` that is not the one that is trained."""
    sources = {"stable_diffusion": "embedded:stable_diffusion", "clap": "embedded:clap"}
    loaded = Foundation(**sources).shapes(log_mel=LOG_MEL, num_classes=8)
    assert read_architecture(**sources).shapes(log_mel=LOG_MEL, num_classes=8) == loaded


def test_an_unknown_hub_id_says_what_is_missing() -> None:
    """Catches: `harness list` waiting for a network."""
    with pytest.raises(MissingWeightsError, match=r"unet/config\.json of 'owner/other'"):
        read_architecture("owner/other", "laion/larger_clap_music_and_speech")


def test_a_folder_without_configs_says_what_is_missing(tmp_path: Path) -> None:
    """Catches: a FileNotFoundError as traceback."""
    with pytest.raises(MissingWeightsError, match="expected a model folder"):
        read_architecture(str(tmp_path), "embedded:clap")
