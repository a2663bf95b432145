"""The adapter a run trains is the one its settings name."""

from collections.abc import Callable

import pytest
import torch

from core.conditioning.adapters import UnetAdapter
from core.errors import UsageError
from core.foundation.architecture import read_architecture
from harness.branches.registry import find_variant
from harness.branches.unet_adapter import adapter_of
from harness.run.plan import RunRequest
from harness.run.run import run
from harness.settings.load import load_profile
from harness.wording.display import Display


@pytest.mark.parametrize(
    ("variant", "override", "expected"),
    [
        ("cutting_edge", "ssf.scope=attn2", 99_840),
        ("cutting_edge", "ssf.scope=attn1+attn2", 199_680),
        ("cutting_edge", "ssf.scope=all", 837_128),
        ("baseline", "lora.rank=4", 797_184),
        ("baseline", "lora.rank=16", 3_188_736),
    ],
)
def test_settings_choose_its_size_at_full_size(variant: str, override: str, expected: int) -> None:
    """Catches: a scope or a rank that is offered and never handed on."""
    profile = load_profile("sd15", overrides=[override])
    architecture = read_architecture(profile.foundation.stable_diffusion, profile.foundation.clap)
    shapes = architecture.shapes(log_mel=(128, 1024), num_classes=8)
    found = find_variant(variant).load()
    with torch.device("meta"):
        adapter = adapter_of(found(found.Config(), shapes=shapes), profile=profile)(
            architecture.meta_unet()
        )
    assert isinstance(adapter, UnetAdapter)
    assert sum(p.numel() for p in adapter.named_parameters().values()) == expected


def test_a_run_trains_the_scope_it_was_given(
    small_request: Callable[..., RunRequest], one_thread: None
) -> None:
    """Catches: a scope that the listing counts and the run does not train."""
    request = small_request("ssf.scope=attn1+attn2", variant="cutting_edge")
    record = run(request, display=Display())
    # Seven blocks of tiny: 4 projections, gamma and beta, of two attentions instead of one.
    assert record.parameters["unet_adapter"] == 2 * 4_224


def test_unknown_scope_is_named_in_a_sentence() -> None:
    """Catches: a misspelt scope that silently means the default."""
    with pytest.raises(UsageError, match="'attn2', 'attn1\\+attn2' or 'all'"):
        load_profile("tiny", overrides=["ssf.scope=attn3"])
