"""docs/variants.md and docs/encoders.md against the code: adapters, and settings of an encoder."""

import json
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


def test_the_measured_numbers_of_encoders_are_those_of_the_files() -> None:
    """Catches: errors of a rebuilt encoder, or the cost of a block, of an earlier measurement."""
    root = DOCS.parent
    weights = root / "core" / "embedded" / "weights"
    provenance = json.loads((weights / "PROVENANCE.json").read_text(encoding="utf-8"))
    held_out = provenance["parts"]["mamba"]["held_out"]
    rows = rows_below(ENCODERS, "from | | pitch | intensity | hiss | onset")
    names = ("pooled", "untrained_pooled", "sequence", "untrained_sequence")
    for row, name in zip(rows, names, strict=True):
        found = held_out[f"{name}_attribute_mae"]
        written = [float(cell) for cell in row[2:]]
        order = ("pitch", "intensity", "hiss", "onset")
        assert written == pytest.approx([found[key] for key in order], abs=6e-4), name
    blocks = json.loads((root / "benchmarks" / "results" / "mamba_blocks.json").read_text())
    v2, mamba2 = (f"{blocks['cpu_seconds_median'][name]:.2f}"[1:] for name in ("v2", "mamba2"))
    assert f"{mamba2} against {v2} s" in ENCODERS


def test_the_agreement_with_published_packages_is_the_measured_one() -> None:
    """Catches: an error of docs/encoders.md or docs/metrics.md that `make peers` did not find."""
    results = DOCS.parent / "benchmarks" / "results"
    measured = json.loads((results / "peers.json").read_text())
    found = {
        f"{agreement['error']:.1e}".replace("e-0", "e-")
        for step in measured["steps"].values()
        for agreement in step["agreements"]
    }
    pages = ENCODERS + (DOCS / "metrics.md").read_text(encoding="utf-8")
    tables = re.findall(
        r"^\| (?:ours against theirs|difference) \| error \|\n.*\n((?:\|.*\n)+)", pages, re.M
    )
    said = {number for table in tables for number in re.findall(r"\d\.\de-\d+", table)}
    assert len(tables) == 3
    assert said
    assert said <= found
