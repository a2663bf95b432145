"""What would prevent a run, on machines that are described here, and on this one."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli.main import app
from harness.costs.matrix import MatrixPlan, MatrixRequest, plan_matrix
from harness.doctor.finding import State
from harness.doctor.graphics import Graphics, check_arithmetic, check_device, check_memory
from harness.doctor.storage import check_clock, check_disk, check_file_system
from harness.settings.load import load_profile

CARD = Graphics(
    torch="2.13.0",
    built_for="13.0",
    driver="580.1",
    name="NVIDIA GeForce RTX 4090",
    capability=(8, 9),
    free_bytes=23 * 10**9,
    total_bytes=24 * 10**9,
)
SD15 = load_profile("sd15")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> MatrixPlan:
    """Nine runs at the size of SD v1.5."""
    branches = ("baseline", "sonic", "cutting_edge")
    return plan_matrix(
        MatrixRequest(
            variants=branches,
            num_seeds=3,
            profile="sd15",
            gpu="4090",
            results=tmp_path_factory.mktemp("none"),
        )
    )


def test_a_driver_too_old_is_told_the_wheel_that_fits() -> None:
    """Catches: a torch that finds no GPU, and a user who learns it after the download."""
    old = replace(CARD, driver="535.2", name=None)
    found = check_device(old, profile=SD15, asked=None)
    assert found.state is State.BAD
    assert found.command is not None
    assert found.command.endswith("cu126")
    built = check_device(replace(old, driver="580.1", built_for=None), profile=SD15, asked=None)
    assert built.command is not None
    assert built.command.endswith("cu130")
    assert "without CUDA" in built.sentence
    none = check_device(replace(old, driver=None), profile=SD15, asked=None)
    assert (none.state, none.command) == (State.BAD, None)
    assert check_device(replace(old, driver="470.1"), profile=SD15, asked=None).command is None
    assert check_device(old, profile=SD15, asked="cpu").state is State.GOOD
    assert check_device(old, profile=load_profile("tiny"), asked=None).state is State.GOOD
    assert check_device(CARD, profile=SD15, asked=None).state is State.GOOD


def test_turing_is_told_to_use_float16() -> None:
    """Catches: bfloat16 that is emulated without a word."""
    turing = replace(CARD, name="Tesla T4", capability=(7, 5))
    found = check_arithmetic(turing, profile=SD15)
    assert found.state is State.BAD
    assert "training.precision=float16" in found.sentence
    assert check_arithmetic(CARD, profile=SD15).state is State.GOOD
    half = load_profile("sd15", overrides=("training.precision=float16",))
    assert check_arithmetic(turing, profile=half).state is State.GOOD


def test_too_little_memory_names_the_micro_batch_that_fits(plan: MatrixPlan) -> None:
    """Catches: the advice that comes by an out-of-memory error after the features are made."""
    assert check_memory(CARD, plan=plan, profile=SD15).state is State.GOOD
    small = check_memory(replace(CARD, free_bytes=8 * 10**9), plan=plan, profile=SD15)
    assert small.state is State.BAD
    assert "--set training.micro_batch=" in small.sentence
    assert "accumulation=" in small.sentence
    tiny = check_memory(replace(CARD, free_bytes=2 * 10**9), plan=plan, profile=SD15)
    assert "even for one sample" in tiny.sentence
    without = check_memory(replace(CARD, name=None), plan=plan, profile=SD15)
    assert without.state is State.NOTE
    assert "80 GB 8" in without.sentence


def test_disk_file_system_and_clock_are_looked_at(plan: MatrixPlan, tmp_path: Path) -> None:
    """Catches: a matrix that fills the disk at its third run, records dated 1970."""
    big = replace(plan, disk=replace(plan.disk, runs=1e18))
    assert check_disk(tmp_path, plan=big, is_fetched=True).state is State.BAD
    small = replace(plan, disk=replace(plan.disk, weights=1e18, features=0.0, runs=1e3))
    assert check_disk(tmp_path, plan=small, is_fetched=True).state is State.GOOD
    assert check_disk(tmp_path, plan=small, is_fetched=False).state is State.BAD
    assert check_file_system(tmp_path / "not" / "there").state is not State.BAD
    assert list(tmp_path.iterdir()) == []
    assert check_clock(tmp_path, now=0.0).state is State.BAD
    assert check_clock(tmp_path).state is State.GOOD


def test_doctor_says_what_is_missing_and_how_to_get_it(tmp_path: Path) -> None:
    """Catches: an exit code of 0 where a run would be refused, a command that a script misses."""
    fit = CliRunner().invoke(app, ["doctor", "--results", str(tmp_path), "--json"])
    found = json.loads(fit.output)
    assert (fit.exit_code, found["is_fit"]) == (0, True), fit.output
    words = ["doctor", "--profile", "sd15", "--results", str(tmp_path)]
    unfit = CliRunner().invoke(app, words)
    assert unfit.exit_code == 1
    assert "harness weights get --profile sd15" in unfit.output
    assert "would prevent a run of sd15" in unfit.output
