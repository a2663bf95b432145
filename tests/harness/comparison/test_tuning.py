"""Whether branches were tuned alike: what is asked of a comparison, and what it says of it."""

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from core.conditioning.config import SCHEDULE
from core.errors import DataError, UsageError
from harness.cli.main import app
from harness.comparison.compare import compare
from harness.comparison.configs import configs_by_branch
from harness.comparison.request import CompareOptions, CompareRequest, plan_matrix
from harness.comparison.tuning import (
    are_rates_tuned,
    chosen_by_sentence,
    inequalities,
    rates_sentence,
    tuning_by_branch,
)
from harness.records.folders import RECORD
from harness.records.record import load_record
from harness.run.plan import RunRequest
from harness.settings.branch_config import RunConfig, Tuning, write_run_config
from harness.wording.display import Display

SPLIT = "a" * 64


def tuning(num_trials: int = 30, **changes: Any) -> Tuning:
    """A search of that many trials on the split."""
    words = {"sweep": "s", "metric": "validation_loss", "split_hash": SPLIT}
    return Tuning(**{**words, "num_trials": num_trials, **changes})


@pytest.mark.parametrize(
    ("found", "clauses"),
    [
        ({}, []),
        ({"a": tuning(), "b": tuning()}, []),
        ({"b": tuning()}, ["b by a sweep and a not at all, so a difference between them may come"]),
        ({"a": tuning(), "b": tuning(50)}, ["unequal numbers of trials (a 30, b 50)"]),
        (
            # Asked for as many, and given up half way.
            {"a": tuning(trials={"complete": 9, "pruned": 5, "failed": 1}), "b": tuning()},
            ["unequal numbers of trials (a 15, b 30)"],
        ),
        ({"a": tuning(), "b": tuning(metric="kid")}, ["metrics (a validation_loss, b kid)"]),
        (
            {"a": tuning(shared_settings_hash="b"), "b": tuning(shared_settings_hash="c")},
            ["with different shared settings"],
        ),
        (
            {"a": tuning(shared_settings_hash="b"), "b": tuning(shared_settings_hash=None)},
            [],
        ),
        (
            {"a": tuning(is_changed=True), "b": tuning()},
            ["a with settings that were changed after the sweep"],
        ),
        (
            {"a": tuning(split_hash="b" * 64), "b": tuning(split_hash=None)},
            ["another split than this one (a on bbbbbbbbbbbb)"],
        ),
        (
            {"a": tuning(searched=[*SCHEDULE, "num_tokens"]), "b": tuning(searched=["dropout"])},
            ["learning rates and stage lengths searched for a, and not for b"],
        ),
        (
            {"a": tuning(metric="kid"), "b": tuning(1, split_hash="c" * 64)},
            ["numbers of trials", "different metrics", "another split"],
        ),
    ],
)
def test_what_was_not_alike_is_named(found: dict[str, Tuning], clauses: list[str]) -> None:
    """Catches: a tuned branch that wins against an untuned one, and nobody is told."""
    said = inequalities(["a", "b"], tuning=found, split_hash=SPLIT)
    assert len(said) == len(clauses)
    for sentence, part in zip(said, clauses, strict=True):
        assert part in sentence


def test_rates_that_nobody_tuned_are_said_to_be() -> None:
    """Catches: a branch that loses by a rate that is off by a factor of 4, and nobody is told."""
    rates = tuning(searched=list(SCHEDULE))
    assert are_rates_tuned(["a", "b"], tuning={"a": rates, "b": rates})
    said = rates_sentence(["a", "b"], tuning={"a": rates, "b": rates})
    assert said.endswith("on validation clips (trials: a 30, b 30).")
    for other in ({}, {"b": tuning()}, {"b": tuning(searched=list(SCHEDULE), is_changed=True)}):
        assert not are_rates_tuned(["a", "b"], tuning={"a": rates, **other})
        said = rates_sentence(["a", "b"], tuning={"a": rates, **other})
        assert "were not tuned for b: a branch whose rates are off can lose for that alone" in said


def test_a_seed_that_settings_were_chosen_with_is_named() -> None:
    """Catches: the luck by which settings were chosen, counted among what they are worth."""
    found = {"a": tuning(seed=1000), "b": tuning(seed=0), "c": tuning()}
    assert chosen_by_sentence(found, seeds=[1, 2]) == ""
    assert "(b with seed 0)" in chosen_by_sentence(found, seeds=[0, 1, 2])
    assert "(a with seed 1000, b with seed 0)" in chosen_by_sentence(found, seeds=[0, 1000])


def test_a_branch_is_as_tuned_as_its_most_tuned_run(finished: Any) -> None:
    """Catches: a search that vanishes because the same settings had been run before it."""
    bare = finished.record
    some = bare.model_copy(update={"tuning": tuning(5)})
    more = bare.model_copy(update={"tuning": tuning(9)})
    assert tuning_by_branch([bare]) == {}
    for records in ([bare, more, some], [some, more, bare]):
        assert tuning_by_branch(records) == {"baseline": tuning(9)}
    assert tuning_by_branch([bare], known={"baseline": tuning(3)}) == {"baseline": tuning(3)}


def test_a_record_that_says_nonsense_of_its_tuning_is_named(finished: Any, tmp_path: Path) -> None:
    """Catches: a traceback from an edited record."""
    content = json.loads(finished.record.model_dump_json())
    content["tuning"] = {"sweep": "s", "num_trials": 0}
    (tmp_path / RECORD).write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"record\.json is not a run record .* tuning\.num_trials"):
        load_record(tmp_path)


def config(folder: Path, variant: str, *, profile: str | None = None, **settings: Any) -> Path:
    """A file of that branch's settings, found by a sweep."""
    path = folder / f"{variant}-{profile}-{len(settings)}.toml"
    found = RunConfig(
        variant=variant, profile=profile, variants={variant: settings}, tuning=tuning()
    )
    write_run_config(found, path)
    return path


def test_configs_go_to_the_branches_they_name(tmp_path: Path) -> None:
    """Catches: settings of one branch given to another, or to none."""
    names = ("baseline", "sonic")
    one, other = config(tmp_path, "sonic", profile="tiny"), config(tmp_path, "baseline")
    found = configs_by_branch([one, other], variants=names, profile=None)
    assert found.paths == {"sonic": one, "baseline": other}
    assert found.profile == "tiny"
    assert configs_by_branch([], variants=names, profile="sd15").profile is None
    with pytest.raises(UsageError, match="for sonic, which is not in --variants baseline"):
        configs_by_branch([one], variants=["baseline"], profile=None)
    with pytest.raises(UsageError, match="are both for sonic"):
        configs_by_branch([one, config(tmp_path, "sonic")], variants=names, profile=None)
    far = config(tmp_path, "baseline", profile="sd15")
    with pytest.raises(UsageError, match="for different profiles"):
        configs_by_branch([one, far], variants=names, profile=None)
    with pytest.raises(UsageError, match=r"--profile sd15, but the config .* profile tiny"):
        configs_by_branch([one], variants=names, profile="sd15")


def test_a_comparison_of_runs_that_are_there_takes_no_config(tmp_path: Path) -> None:
    """Catches: a config that is named and not heard."""
    words = ["compare", "--from", "x", "--config", str(config(tmp_path, "sonic"))]
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, UsageError)
    assert "--from trains none" in str(done.exception)


def test_a_comparison_runs_each_branch_as_its_config_says(
    finished: Any, small_request: Callable[..., RunRequest], tmp_path: Path
) -> None:
    """Catches: a config that reaches another branch or no run, is left out of the command, or
    whose search nobody hears of."""
    shutil.copytree(finished.request.results / "data", tmp_path / "data")
    path = config(tmp_path, "sonic", num_tokens=4)
    request = CompareRequest(
        ("baseline", "sonic"),
        num_seeds=1,
        profile="tiny",
        overrides=small_request().overrides,
        data=str(small_request().data),
        options=CompareOptions(tmp_path, metric="aic"),
        configs={"sonic": path},
    )
    words = shlex.split(request.command)
    assert words[words.index("--config") + 1] == str(path)
    baseline, sonic = plan_matrix(request, budgets={}, display=Display())
    assert baseline.config.model_dump()["num_tokens"] == 8
    assert sonic.config.model_dump()["num_tokens"] == 4
    assert (baseline.tuning, sonic.tuning) == (None, tuning())
    assert str(path) in sonic.request.words
    for planned in (baseline, sonic):  # both are done, by a run that knew of no sweep
        shutil.copytree(
            finished.folder, planned.folder, ignore=shutil.ignore_patterns("checkpoints", "images")
        )
        changes = {"identity": planned.identity, "run_id": planned.identity.run_id}
        finished.record.model_copy(update=changes).save(planned.folder)
    record = compare(request, display=Display()).record
    assert record.tuning == {"sonic": tuning()}
    assert "sonic by a sweep and baseline not at all" in " ".join(record.notices)
