"""What `harness list` says of each variant: exact at the size of Stable Diffusion v1.5."""

import io
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from harness.branches import describe
from harness.branches.describe import describe_variants, kept_counts_path
from harness.branches.described import DescribedVariant
from harness.branches.registry import Registration
from harness.report.terminal import tables as show

LORA_R8 = 1_594_368
SSF_ATTN2 = 99_840


@pytest.fixture(scope="module")
def full_size() -> dict[str, DescribedVariant]:
    return {variant.name: variant for variant in describe_variants("sd15")}


def test_full_size_counts_are_those_of_the_design(full_size: dict[str, DescribedVariant]) -> None:
    """Catches: a module left out, doubled or of another width, in any stage of any variant."""
    expected = {
        "baseline": {"adapter": 7_885_056, "gates": 1, "unet_adapter": LORA_R8},
        "cutting_edge": {"encoder": 6_922_176, "gates": 16, "unet_adapter": SSF_ATTN2},
        "sonic": {"projector": 8_406_528, "gates": 16, "unet_adapter": LORA_R8},
        "class_embedding": {"table_KNC": 8 * 8 * 768, "gates": 1, "unet_adapter": LORA_R8},
        "text_only": {"unet_adapter": LORA_R8},
    }
    counted = {
        name: {module: full_size[name].modules["stage2"][module] for module in modules}
        for name, modules in expected.items()
    }
    assert counted == expected
    assert full_size["baseline"].stages == {
        "stage1": 7_885_057,
        "stage2": 7_885_057 + LORA_R8,
        "stage3": 1,
    }
    assert full_size["baseline"].steps == {"stage1": 3000, "stage2": 7000, "stage3": 2000}


def test_stages_add_up_and_train_what_they_should(full_size: dict[str, DescribedVariant]) -> None:
    """Catches: counts that forget LoRA in stage 2, or count the modules in stage 3."""
    for variant in full_size.values():
        counts, modules = variant.parameters, variant.modules
        assert variant.stages == {stage: sum(modules[stage].values()) for stage in modules}
        assert variant.stages["stage1"] == counts["audio"] + counts["gates"]
        assert variant.stages["stage2"] == variant.stages["stage1"] + counts["unet_adapter"]
        assert variant.stages["stage3"] == counts["gates"]
        assert "unet_adapter" not in modules["stage1"]
        assert modules["stage3"].keys() <= {"gates"}


def test_controls_are_distinguished_from_branches(full_size: dict[str, DescribedVariant]) -> None:
    """Catches: a control that a report draws as a branch."""
    controls = {name for name, variant in full_size.items() if variant.is_control}
    assert controls == {"text_only", "class_embedding"}
    assert full_size["text_only"].hears == full_size["class_embedding"].hears == ()


@pytest.mark.parametrize("is_verbose", [False, True])
def test_view_names_each_variant_and_what_it_trains(
    full_size: dict[str, DescribedVariant], is_verbose: bool
) -> None:
    """Catches: a listing that hides a broken variant, or a stage that is left out."""
    broken = DescribedVariant("mine", error="cannot be imported: no luck")
    out = io.StringIO()
    console = Console(file=out, width=120)
    console.print(show.variants([*full_size.values(), broken], is_verbose=is_verbose))
    lines = out.getvalue().splitlines()
    named = [line for line in lines if line.startswith("baseline")]
    assert "9,479,425" in named[0]
    assert any(line.startswith("text_only        control: ") for line in lines)
    if not is_verbose:
        assert len(lines) == 1 + 5 + 1
    assert any("no luck" in line for line in lines)
    assert ("adapter 7,885,056, gates 1, unet_adapter 1,594,368" in out.getvalue()) is is_verbose
    assert ("nothing to train: the stage is skipped" in out.getvalue()) is is_verbose


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The variants that are built to be counted, in order; none is kept at first."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    names: list[str] = []

    def count(registration: Registration, profile: object, architecture: object) -> object:
        names.append(registration.name)
        return DescribedVariant(registration.name, summary=f"counted as number {len(names)}")

    monkeypatch.setattr(describe, "_count", count)
    return names


def test_what_was_counted_is_kept_for_each_profile(counted: list[str]) -> None:
    """Catches: five branches built at each `harness list`, or one profile shown for another."""
    first = describe_variants("tiny")
    assert len(counted) == 5
    assert describe_variants("tiny") == first
    assert len(counted) == 5
    assert describe_variants("sd15") != first
    assert len(counted) == 10
    assert describe_variants("tiny") == first
    kept_counts_path().write_text("{ damaged")
    describe_variants("tiny")
    assert len(counted) == 15


def test_changed_code_is_counted_again(
    counted: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Catches: the parameters of yesterday's code, or every branch built for a change of one."""
    describe_variants("tiny")
    changed = tmp_path / "baseline"
    sources = Registration.sources.fget
    shutil.copytree(describe.registrations()["baseline"].sources, changed)
    monkeypatch.setattr(
        Registration,
        "sources",
        property(lambda self: changed if self.name == "baseline" else sources(self)),
    )
    describe_variants("tiny")
    assert len(counted) == 5
    (changed / "more.py").write_text("WIDTH = 2")
    describe_variants("tiny")
    assert counted[5:] == ["baseline"]
    (tmp_path / "core").mkdir()
    folder = describe.package_folder
    monkeypatch.setattr(
        describe, "package_folder", lambda name: tmp_path if name == "core" else folder(name)
    )
    describe_variants("tiny")
    assert len(counted) == 11
