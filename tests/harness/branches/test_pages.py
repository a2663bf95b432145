"""docs/variants.md and docs/encoders.md against the code: adapters, and settings of an encoder."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest

from core.choices import AudioFeature, SsfScope, UnetAdapterKind
from core.conditioning.tuner_kinds import REFUSED
from core.foundation.mamba.config import DEPTH, WIDTHS, Block, Layout, Size
from harness.branches.adapters import describe_adapters
from variants.cutting_edge.config import (
    CuttingEdgeConfig,
    EncoderAdapt,
    PooledAudio,
    Position,
    Tokens,
)

DOCS = Path(__file__).parents[3] / "docs"
VARIANTS = (DOCS / "variants.md").read_text(encoding="utf-8")
ENCODERS = (DOCS / "encoders.md").read_text(encoding="utf-8")
NOT_HERE = {UnetAdapterKind.FROD, UnetAdapterKind.ADAMSS}
"""Refused where they are built: by the UNet's widths, or for want of scikit-learn."""


def rows_below(page: str, head: str) -> list[list[str]]:
    """Cells of the one table whose head begins so."""
    (table,) = re.findall(rf"^\| {re.escape(head)}.*\n\|[ -|]*\n((?:\|.*\n)+)", page, re.M)
    return [[cell.strip() for cell in row[1:-1].split("|")] for row in table.splitlines()]


@pytest.mark.parametrize(("column", "profile"), [(1, "tiny"), (2, "sd15")])
def test_the_table_of_adapters_is_what_is_counted(column: int, profile: str) -> None:
    """Catches: a tuner without a row, or a number of parameters of an earlier peft."""
    if version("peft") not in VARIANTS:
        pytest.skip("the table is of the pinned peft, and another is installed")
    counted = {
        row.kind.value: row
        for row in describe_adapters(profile)
        if row.kind not in REFUSED and row.kind not in NOT_HERE
    }
    rows = {row[0].strip("`"): row for row in rows_below(VARIANTS, "`adapt` | parameters")}
    assert set(rows) == set(counted)
    for kind, row in rows.items():
        number = counted[kind].parameters
        assert row[column] == ("" if number is None else f"{number:,}"), kind


def test_the_settings_of_an_encoder_are_those_of_the_code() -> None:
    """Catches: a setting or a choice of `cutting_edge` that was renamed, or is not said."""
    choices = {
        "size": Size,
        "layout": Layout,
        "block": Block,
        "tokens": Tokens,
        "position": Position,
        "audio": PooledAudio,
        "encoder_adapt": EncoderAdapt,
    }
    rows = {row[0].strip("`"): row for row in rows_below(ENCODERS, "setting | choices | what")}
    assert set(rows) == set(choices) <= set(CuttingEdgeConfig.model_fields)
    for name, kinds in choices.items():
        assert set(rows[name][1].split(", ")) == {kind.value for kind in kinds}, name
    widths = ", ".join(str(WIDTHS[size]) for size in (Size.TINY, Size.SMALL, Size.BASE))
    assert f"width {widths} at depth {DEPTH}" in rows["size"][2]


def test_the_reach_of_ssf_and_the_features_are_on_the_pages() -> None:
    """Catches: a scope of SSF, or a feature that a variant may ask for, without its row."""
    assert [row[0] for row in rows_below(ENCODERS, "`--set ssf.scope=`")] == list(SsfScope)
    features = [row[0].strip("`").lower() for row in rows_below(VARIANTS, "feature | shape")]
    assert features == list(AudioFeature)
