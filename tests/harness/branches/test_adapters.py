"""`harness list --adapters`: what adapts the UNet, and a run with a tuner by one setting."""

from collections.abc import Callable
from typing import Any

import pytest

from core.choices import UnetAdapterKind
from core.conditioning.adapters import attach_unet_adapter
from core.errors import UsageError
from harness.branches.adapters import describe_adapters
from harness.records.record import Status
from harness.records.score_kind import Score
from harness.run.plan import RunRequest, plan_run
from harness.run.run import run
from harness.settings.load import load_profile
from harness.testing.bench import stir
from harness.wording.display import Display

LoadedBy = Callable[..., list[str]]


def test_every_kind_is_listed_with_its_size_and_its_start(loaded_by: LoadedBy) -> None:
    """Catches: a kind left out, sizes of another UNet, torch for what was counted before."""
    rows = {row.kind: row for row in describe_adapters("tiny")}
    assert set(rows) == set(UnetAdapterKind) - {UnetAdapterKind.NONE}
    usable = [row for row in rows.values() if row.refused is None]
    assert all(row.parameters and row.departs is not None for row in usable)
    assert all(row.departs is not None and row.departs < 1e-4 for row in usable)
    assert rows[UnetAdapterKind.LORA].departs == 0
    of_deft = rows[UnetAdapterKind.DEFT].parameters
    assert rows[UnetAdapterKind.LORA].parameters == of_deft  # both a pair of rank 8
    assert "r" in rows[UnetAdapterKind.VERA].options
    assert "language model" in (rows[UnetAdapterKind.XLORA].refused or "")
    assert loaded_by("list", "--adapters") == []


def test_an_adapter_that_changes_the_unet_is_said_to_depart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catches: a start that is called the identity whatever it is."""
    from harness.branches import adapter_counts

    def stirred(unet: Any, **settings: Any) -> Any:
        adapter = attach_unet_adapter(unet, **settings)
        stir(adapter.named_parameters().values())
        return adapter

    monkeypatch.setattr(adapter_counts, "attach_unet_adapter", stirred)
    departs = adapter_counts._departure(UnetAdapterKind.LORA, profile=load_profile("tiny"))
    assert departs > 0.01


def test_a_branch_trains_with_a_tuner_by_one_setting(
    small_request: Callable[..., RunRequest],
) -> None:
    """Catches: a tuner that the guards or the checkpoint do not know, or options that are lost."""
    request = small_request(
        "variant.adapt=vera", "variant.adapt_options.r=4", seed=41, score=Score.LOSS
    )
    record = run(request, display=Display())
    assert record.status is Status.FINISHED
    assert "adapter_identity" in record.guards_passed
    assert record.identity.variant_config["adapt_options"] == {"r": 4}
    of_four = record.parameters["unet_adapter"]
    widths = describe_adapters("tiny")
    (of_default,) = [row.parameters for row in widths if row.kind is UnetAdapterKind.VERA]
    assert of_default is not None
    assert 0 < of_four < of_default  # lambda_d is shorter, lambda_b as long


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (("variant.adapt=xlora",), "mixes adapters that were trained before"),
        (("variant.adapt=lora", "variant.adapt_options.r=4"), r"lora\.rank"),
        (("variant.adapt=vera", "variant.adapt_options.rank=4"), "no such option"),
    ],
)
def test_what_no_unet_takes_ends_in_a_sentence(
    items: tuple[str, ...],
    words: str,
    small_request: Callable[..., RunRequest],
    tmp_path: Any,
) -> None:
    """Catches: a traceback of peft's, or a setting that nothing reads."""
    with pytest.raises(UsageError, match=words):
        run(small_request(*items, seed=42, score=Score.LOSS), display=Display())


def test_an_option_that_a_tuner_lacks_is_refused_before_data_is_read(
    small_request: Callable[..., RunRequest],
) -> None:
    """Catches: a typing mistake that is found when all sounds and pictures have been encoded, or,
    in a comparison, when other branches have been trained."""
    request = small_request(
        "variant.adapt=oft", "variant.adapt_options.oft_block=4", data="no such folder"
    )
    with pytest.raises(UsageError, match=r"tuner oft has no such option; .*mean 'oft_block_size'"):
        plan_run(request, display=Display())
