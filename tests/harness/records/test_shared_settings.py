"""What readers of a record ask of its settings."""

from typing import Any

import pytest

from core.choices import BudgetKind
from core.errors import DataError
from harness.records.record import RunIdentity


def identity(settings: dict[str, Any]) -> RunIdentity:
    return RunIdentity(
        variant="baseline",
        seed=0,
        profile="tiny",
        settings=settings,
        variant_config={},
        split_hash="abc",
        code={},
        models={},
    )


def test_settings_of_another_version_are_read_as_far_as_they_are_known() -> None:
    """Catches: an old run that cannot be shown for a setting that came or went since."""
    of_another = identity(
        {
            "data": {"window_s": 3.0, "gone": True},
            "foundation": {"stable_diffusion": "embedded:small", "clap": "owner/clap", "new": 1},
            "scorers": {"clip": "embedded:clip", "inception": None},
            "budget": {"kind": "flops", "amount": 2.0},
            "later": {},
        }
    ).shared
    assert of_another.window_s == 3.0
    assert of_another.source_of("clap") == "owner/clap"
    assert of_another.source_of("clip") == "embedded:clip"
    assert of_another.source_of("inception") is None
    assert of_another.source_of("variant.encoder") is None
    assert (of_another.budget.kind, of_another.budget.amount) == (BudgetKind.FLOPS, 2.0)


def test_settings_that_say_nothing_of_sounds_are_refused_when_asked() -> None:
    """Catches: a window that is made up, so that a report plays other seconds than were used."""
    bare = identity({"stage1": {"lr": 1e-3}}).shared
    assert bare.budget.kind is BudgetKind.SAMPLES
    with pytest.raises(DataError, match=r"does not say data\.window_s"):
        _ = bare.window_s
