"""A branch's settings as a file: written, read back, refused, and run."""

import json
import random
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from typer.testing import CliRunner

from core.errors import UsageError
from harness.branches.registry import find_variant
from harness.cli.main import app
from harness.records.record import load_record
from harness.records.score_kind import Score
from harness.run.plan import RunRequest, plan_run
from harness.run.run import run
from harness.settings.branch_config import (
    RunConfig,
    Tuning,
    load_run_config,
    run_config_text,
    toml_value,
    write_run_config,
)
from harness.settings.load import load_profile
from harness.wording.display import Display

MakeRequest = Callable[..., RunRequest]
TUNING = Tuning(
    sweep="small",
    num_trials=30,
    trials={"complete": 20, "pruned": 8, "failed": 2},
    study="small-baseline",
    trial=17,
    metric="validation_loss",
    value=0.1 + 0.2,
    default_value=0.083,
    split_hash="a" * 64,
    num_validation=66,
)
PIECES = [*"a\"\\\n\t\r\x00\x1b\x7f'#é\u2028💧", ""]


def written(text: str, folder: Path) -> Path:
    """A file of that text."""
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def random_value(rng: random.Random, depth: int = 0) -> Any:
    """A value that a setting may have."""
    kind = rng.randrange(8 if depth < 2 else 6)
    if kind == 0:
        return rng.random() < 0.5
    if kind == 1:
        return rng.randrange(-(10**20), 10**20)
    if kind == 2:
        return rng.choice([0.0, -0.0, 1e-320, 1.7e308, 1e16, 1.0, rng.uniform(-1, 1) ** 9])
    if kind in (3, 4):
        return "".join(rng.choices(PIECES, k=4))
    if kind == 5:
        return None
    if kind == 6:
        return tuple(random_value(rng, depth + 1) for _ in range(rng.randrange(3)))
    return {random_key(rng): random_value(rng, depth + 1) for _ in range(rng.randrange(3))}


def random_key(rng: random.Random) -> str:
    return "".join(rng.choices([*PIECES, "b", "1", "-", "_", "."], k=3))


def test_a_config_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    """Catches: a float that loses digits, a string or key that breaks out of its quotes."""
    rng = random.Random(0)
    for _ in range(300):
        variant = random_key(rng) or "sonic"
        settings = {random_key(rng): random_value(rng) for _ in range(4)}
        config = RunConfig(
            variant=variant,
            profile=rng.choice([None, "tiny", 'a "b"\\c.toml']),
            variants=rng.choice([{}, {variant: settings}]),
            tuning=rng.choice([None, TUNING, Tuning(sweep="".join(PIECES), num_trials=1)]),
        )
        write_run_config(config, tmp_path / "c.toml", comment="two\x07 lines\r\n" + "".join(PIECES))
        found = load_run_config(tmp_path / "c.toml")
        assert found == config
        assert repr(found) == repr(config)  # 1 is not 1.0 and -0.0 not 0.0
        assert run_config_text(found) == run_config_text(config)


def test_the_file_is_what_a_person_would_write() -> None:
    """Catches: a form of file that the documentation does not show."""
    config = RunConfig(
        variant="sonic",
        profile="tiny",
        variants={"sonic": {"num_tokens": 16, "hidden_dim": None, "gate_init": 1e-05}},
        tuning=Tuning(sweep="s", num_trials=2, trials={"complete": 2}),
    )
    assert run_config_text(config, comment="Found by a sweep.\n") == (
        "# Found by a sweep.\n"
        'variant = "sonic"\n'
        'profile = "tiny"\n'
        "\n"
        "[variants.sonic]\n"
        "num_tokens = 16\n"
        'hidden_dim = "none"\n'
        "gate_init = 1e-05\n"
        "\n"
        "[tuning]\n"
        'sweep = "s"\n'
        "num_trials = 2\n"
        "trials = {complete = 2}\n"
    )
    assert tomllib.loads(run_config_text(config))["tuning"]["trials"] == {"complete": 2}


@pytest.mark.parametrize(
    "name", ["baseline", "class_embedding", "cutting_edge", "sonic", "text_only"]
)
def test_every_draw_of_a_search_space_can_be_written(name: str, tmp_path: Path) -> None:
    """Catches: a draw, None above all, that --set or a config gives back as another setting."""
    variant = find_variant(name).load()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    num_unset = 0
    for _ in range(20):
        drawn = variant.search_space(study.ask())
        num_unset += sum(value is None for value in drawn.values())
        expected = variant.Config(**{**load_profile("sd15").variants.get(name, {}), **drawn})
        words = [f"variant.{key}={toml_value(value)}" for key, value in drawn.items()]
        by_set = load_profile("sd15", overrides=words, variant=name).variants.get(name, {})
        assert variant.Config(**by_set) == expected
        write_run_config(RunConfig(variant=name, variants={name: drawn}), tmp_path / "c.toml")
        read = load_profile("sd15", variants=load_run_config(tmp_path / "c.toml").variants)
        assert variant.Config(**read.variants[name]) == expected
    assert bool(num_unset) == (name in ("cutting_edge", "sonic"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), [{1, 2}]])
def test_what_toml_cannot_hold_is_refused(value: Any) -> None:
    """Catches: a file that is written and cannot be read, or reads as something else."""
    with pytest.raises(ValueError, match=r"finite number|cannot be written"):
        RunConfig(variant="sonic", variants={"sonic": {"gate_init": value}})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("variant = ", "is not valid TOML"),
        ("[variants.sonic]\nnum_tokens = 8", 'names no branch; add a line like variant = "sonic"'),
        ('variant = "sonic"\nprofil = "tiny"', "unknown key.*'profil'.*did you mean 'profile'"),
        ('variant = "sonic"\n[stage1]\nlr = 1.0', "sets stage1, which all branches share"),
        (
            'variant = "sonic"\n[variants.baseline]\nnum_tokens = 4',
            "it is for 'sonic' but also sets 'baseline'; a config may hold",
        ),
        ("variant = 3", "'variant' cannot be 3"),
        (
            'variant = "sonic"\n[tuning]\nsweep = "s"\nnum_trials = 3\nmetrik = "kid"',
            "'tuning.metrik'.*did you mean 'metric'",
        ),
        ('variant = "sonic"\n[tuning]\nsweep = "s"\nnum_trials = 0', "'tuning.num_trials'"),
    ],
)
def test_a_mistake_in_a_config_is_a_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    """Catches: a traceback, or a key that nothing reads and nobody hears of."""
    path = written(text, tmp_path)
    with pytest.raises(UsageError, match=sentence) as caught:
        load_run_config(path)
    assert str(path) in str(caught.value)


def test_a_config_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    """Catches: a traceback for a file that is not there, a folder, or no text."""
    with pytest.raises(UsageError, match="no config file"):
        load_run_config(tmp_path / "absent.toml")
    with pytest.raises(UsageError, match="no config file"):
        load_run_config(tmp_path)
    (tmp_path / "bytes.toml").write_bytes(b'variant = "\xff"')
    with pytest.raises(UsageError, match="not UTF-8"):
        load_run_config(tmp_path / "bytes.toml")


def test_a_config_lies_between_profile_and_set(small_request: MakeRequest, tmp_path: Path) -> None:
    """Catches: a config that is not read, that --set cannot change, or that replaces the profile's
    own settings of the branch."""
    config = RunConfig(variant="baseline", variants={"baseline": {"num_tokens": 4, "dropout": 0.2}})
    write_run_config(config, tmp_path / "c.toml")
    request = small_request("variant.num_tokens=16", config=tmp_path / "c.toml")
    found = plan_run(request, display=Display()).config.model_dump()
    assert (found["num_tokens"], found["dropout"]) == (16, 0.2)
    assert found["hidden_dim"] == 256  # of the profile
    assert request.words[request.words.index("--config") + 1] == str(tmp_path / "c.toml")


def test_a_setting_the_branch_does_not_have_is_named(
    small_request: MakeRequest, tmp_path: Path
) -> None:
    """Catches: a misspelt key of a config that trains the defaults under a tuned name."""
    path = written('variant = "baseline"\n[variants.baseline]\nnum_token = 4', tmp_path)
    with pytest.raises(UsageError, match="did you mean 'num_tokens'"):
        plan_run(small_request(config=path), display=Display())


def test_another_branch_or_profile_than_the_configs_is_refused(
    small_request: MakeRequest, tmp_path: Path
) -> None:
    """Catches: sonic's settings given to baseline, or settings of one profile run on another."""
    path = written('variant = "sonic"\nprofile = "sd15"', tmp_path)
    with pytest.raises(UsageError, match=r"--variant baseline, but config .* is for .sonic"):
        plan_run(small_request(config=path), display=Display())
    with pytest.raises(UsageError, match=r"--profile tiny, but the config .* is for profile sd15"):
        plan_run(small_request(variant="sonic", config=path), display=Display())


def test_how_settings_were_found_makes_no_other_run(
    finished: Any, small_request: MakeRequest, tmp_path: Path
) -> None:
    """Catches: a run trained again because its settings came from a file."""
    write_run_config(RunConfig(variant="baseline", tuning=TUNING), tmp_path / "c.toml")
    planned = plan_run(small_request(config=tmp_path / "c.toml"), display=Display())
    assert planned.identity.run_id == finished.record.run_id
    assert planned.tuning == TUNING
    assert run(planned.request, display=Display()).run_id == finished.record.run_id


def test_what_keeps_a_run_from_what_was_tuned_is_reported(
    small_request: MakeRequest, tmp_path: Path
) -> None:
    """Catches: settings chosen by clips that are test clips now, or changed since, unsaid."""
    path = tmp_path / "c.toml"
    write_run_config(RunConfig(variant="baseline", tuning=TUNING), path)
    elsewhere = plan_run(small_request("variant.num_tokens=4", config=path), display=Display())
    assert len(elsewhere.notices) == 2
    assert "tuned (small) on split aaaaaaaaaaaa, but this run uses" in elsewhere.notices[0]
    assert "variant.num_tokens=4 was set on top of tuned settings" in elsewhere.notices[1]
    same = TUNING.model_copy(update={"split_hash": elsewhere.identity.split_hash})
    write_run_config(RunConfig(variant="baseline", tuning=same), path)
    assert plan_run(small_request(config=path), display=Display()).notices == ()


def test_a_config_that_was_edited_is_no_longer_what_was_tuned(
    small_request: Callable[..., RunRequest], tmp_path: Path
) -> None:
    """Catches: settings typed by hand that pass for the best of a sweep."""
    config = RunConfig(variant="baseline", variants={"baseline": {"dropout": 0.25}})
    found = {"own_settings_hash": config.settings_hash, "split_hash": None}
    tuning = TUNING.model_copy(update=found)
    path = tmp_path / "best.toml"
    write_run_config(config.model_copy(update={"tuning": tuning}), path)
    as_found = plan_run(small_request(config=path), display=Display())
    assert as_found.tuning is not None
    assert not as_found.tuning.is_changed
    assert as_found.notices == ()
    path.write_text(path.read_text().replace("0.25", "0.5"))
    edited = plan_run(small_request(config=path), display=Display())
    assert edited.tuning is not None
    assert edited.tuning.is_changed
    assert "were changed after they were tuned (small)" in edited.notices[0]


def test_a_record_says_how_its_settings_were_found(
    small_request: MakeRequest, one_thread: None, tmp_path: Path
) -> None:
    """Catches: a tuned run that nobody can tell from one with defaults."""
    found = RunConfig(variant="baseline", variants={"baseline": {"num_tokens": 4}}, tuning=TUNING)
    write_run_config(found, tmp_path / "c.toml")
    request = small_request(config=tmp_path / "c.toml", score=Score.LOSS)
    record = run(request, display=Display())
    assert record.tuning == TUNING
    assert any("tuned (small) on split" in notice for notice in record.notices)
    assert f"--config {tmp_path / 'c.toml'}" in record.command
    assert load_record(request.results / Score.LOSS.folder / record.run_id) == record


def test_the_command_takes_branch_and_profile_from_the_file(
    small_request: MakeRequest, tmp_path: Path
) -> None:
    """Catches: a file whose branch must be named again, or that another option overrules unsaid."""
    request = small_request()
    path = written('variant = "baseline"\n[variants.baseline]\nnum_tokens = 4', tmp_path)
    words = ["run", "--config", str(path), "--dry-run", "--json", "--data", str(request.data)]
    words += ["--results", str(request.results)]
    for item in request.overrides:
        words += ["--set", item]
    told = json.loads(CliRunner().invoke(app, words, catch_exceptions=False).stdout)
    assert (told["variant"], told["profile"]) == ("baseline", "tiny")
    assert told["variant_config"]["num_tokens"] == 4
    path.write_text('variant = "baseline"\nprofile = "sd15"')
    for extra, sentence in (
        (["--config", str(path), "--variant", "sonic"], "--variant sonic, but config"),
        (["--config", str(path), "--profile", "tiny"], "--profile tiny, but the config"),
        (["--profile", "tiny"], "no branch was given; name one with --variant"),
    ):
        with pytest.raises(UsageError, match=sentence):
            CliRunner().invoke(app, ["run", "--dry-run", *extra], catch_exceptions=False)
