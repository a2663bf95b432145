"""Run identity and records on disk."""

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import DataError, UsageError
from core.files import json_sha256
from harness.records.folders import RECORD
from harness.records.names import named_run
from harness.records.record import (
    RunIdentity,
    RunRecord,
    Status,
    load_record,
)
from harness.records.score_kind import Score
from harness.report.terminal.lists import runs_data

IDENTITY: dict[str, Any] = {
    "variant": "sonic",
    "seed": 0,
    "profile": "tiny",
    "settings": {"stage1": {"lr": 1e-3}},
    "variant_config": {"hidden_dim": 8},
    "split_hash": "abc",
    "code": {"variant": "1", "core": "2", "metrics": "3", "run": "4"},
    "models": {"clap": "5"},
}
PERTURBED: dict[str, Any] = {
    "variant": "baseline",
    "seed": 1,
    "settings": {"stage1": {"lr": 1.0000001e-3}},
    "variant_config": {"hidden_dim": 9},
    "split_hash": "abd",
    "code": {"variant": "1", "core": "2", "metrics": "3", "run": "0"},
    "models": {"clap": "6"},
    "score": "loss",
}
STAGE: dict[str, Any] = {
    "stage": "stage1",
    "steps_planned": 2,
    "steps_done": 0,
    "seconds": 0.5,
    "samples_seen": 0,
    "last_loss": None,
    "validation_loss": None,
    "kept_step": None,
    "trainable_parameters": 0,
    "stopped_by": "nothing_to_train",
    "gates": {},
}
SCORE: dict[str, Any] = {
    "metric": "aic",
    "arm": "audio",
    "value": None,
    "n": 0,
    "higher_is_better": True,
    "extractor": "clip",
    "extractor_hash": None,
}


def record(**changes: Any) -> RunRecord:
    identity = RunIdentity(**IDENTITY)
    fields: dict[str, Any] = {
        "run_id": identity.run_id,
        "status": Status.FINISHED,
        "identity": identity,
        "command": "harness run --variant sonic",
        "started_at": "2026-01-01T00:00:00+00:00",
        "finished_at": "2026-01-01T00:01:00+00:00",
        "split": {"lock": "s", "hash": "abc", "counts": {}, "excluded": {}, "num_input": None},
        "cost": {"seconds": {"train": 1.5}},
    }
    return RunRecord(**{**fields, **changes})


def save(results: Path, run_id: str) -> Path:
    folder = results / "runs" / run_id
    folder.mkdir(parents=True)
    return record(run_id=run_id).save(folder)


def test_the_run_id_names_variant_and_seed() -> None:
    """Catches: an id that a person cannot tell from another."""
    assert RunIdentity(**IDENTITY).run_id.startswith("sonic-s0-")


@pytest.mark.parametrize("field", sorted(PERTURBED))
def test_every_field_of_the_identity_changes_the_run_id(field: str) -> None:
    """Catches: a finished run returned for other settings, data, code or models."""
    changed = RunIdentity(**{**IDENTITY, field: PERTURBED[field]})
    assert changed.run_id != RunIdentity(**IDENTITY).run_id


def test_every_field_of_the_identity_is_perturbed_here_but_the_profile_name() -> None:
    """Catches: a new field of the identity that no test looks at."""
    assert set(PERTURBED) | {"profile"} == set(RunIdentity.model_fields)
    renamed = RunIdentity(**{**IDENTITY, "profile": "mine.toml"})
    assert renamed.run_id == RunIdentity(**IDENTITY).run_id


def test_a_test_run_is_written_as_before_there_were_others() -> None:
    """Catches: ids of finished runs that change, or their records and folders refused."""
    identity = RunIdentity(**IDENTITY)
    assert "score" not in identity.model_dump(mode="json")
    content = {key: value for key, value in IDENTITY.items() if key != "profile"}
    assert identity.run_id == f"sonic-s0-{json_sha256(content)[:12]}"
    assert RunIdentity.model_validate(identity.model_dump(mode="json")).score is Score.TEST
    trial = RunIdentity(**IDENTITY, score=Score.LOSS)
    assert RunIdentity.model_validate_json(trial.model_dump_json()) == trial


def test_a_trial_is_found_where_no_run_has_the_name(tmp_path: Path) -> None:
    """Catches: a trial that hides a run, or that no name finds."""
    save(tmp_path, "sonic-s0-aa")
    for run_id in ("sonic-s0-bb", "lonely-s0-cc"):
        (tmp_path / "validation" / run_id).mkdir(parents=True)
        record(run_id=run_id).save(tmp_path / "validation" / run_id)
    assert named_run("sonic", results=tmp_path).name == "sonic-s0-aa"
    assert named_run("sonic-s0-bb", results=tmp_path).name == "sonic-s0-bb"
    assert named_run("lonely", results=tmp_path).name == "lonely-s0-cc"


def test_a_record_survives_the_disk(tmp_path: Path) -> None:
    """Catches: a field that JSON loses or changes."""
    saved = record(status=Status.FAILED, error="why", metrics={"aic": SCORE}, stages=[STAGE])
    path = saved.save(tmp_path)
    assert path.name == RECORD
    assert load_record(path) == load_record(tmp_path) == saved


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"run_id": "x"}'])
def test_a_damaged_record_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    """Catches: a validation traceback in front of a user."""
    (tmp_path / RECORD).write_bytes(content)
    with pytest.raises(DataError, match=r"record\.json is not a run record of format"):
        load_record(tmp_path)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (("stages", 0, "stopped_by"), "Field required"),
        (("stages", 0, "steps_done"), "Field required"),
        (("metrics", "aic"), "Input should be"),
        (("metrics", "aic", "n"), "Field required"),
        (("metrics", "aic", "higher_is_better"), "Field required"),
        (("arms", "real", "aic", "value"), "Field required"),
        (("arms", "real"), "Input should be"),
        (("controls", 0, "control"), "Field required"),
        (("split", "counts"), "Field required"),
        (("cost", "seconds", "train"), "Input should be"),
        (("cost",), "Input should be"),
    ],
)
def test_a_record_with_a_part_missing_is_a_sentence(
    tmp_path: Path, place: tuple[str | int, ...], message: str
) -> None:
    """Catches: whole JSON without a score's n, say, that ends a comparison in a traceback."""
    margin = {"metric": "aic", "control": "silence", "n": 0, "mean": None}
    margin |= dict.fromkeys(("sd", "z", "low", "high"))
    whole = record(
        stages=[STAGE], metrics={"aic": SCORE}, arms={"real": {"aic": SCORE}}, controls=[margin]
    )
    data = json.loads(whole.model_dump_json())
    (tmp_path / RECORD).write_text(json.dumps(data))
    assert load_record(tmp_path) == whole
    part: Any = data
    for key in place[:-1]:
        part = part[key]
    if message == "Field required":
        del part[place[-1]]
    else:
        part[place[-1]] = None
    (tmp_path / RECORD).write_text(json.dumps(data))
    with pytest.raises(DataError, match=rf"{'.'.join(map(str, place))}: .*{message}"):
        load_record(tmp_path)


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
@pytest.mark.parametrize("place", ["settings", "metrics", "cost"])
def test_a_number_that_is_not_finite_is_a_sentence(tmp_path: Path, place: str, number: str) -> None:
    """Catches: a record that another tool wrote again, whose hash cannot be taken."""
    record(metrics={"aic": SCORE}).save(tmp_path)
    data = json.loads((tmp_path / RECORD).read_bytes())
    if place == "settings":
        data["identity"]["settings"]["a"] = "HERE"
    elif place == "metrics":
        data["metrics"]["aic"]["value"] = "HERE"
    else:
        data["cost"]["seconds"] = {"train": "HERE"}
    (tmp_path / RECORD).write_text(json.dumps(data).replace('"HERE"', number))
    with pytest.raises(DataError, match=r"record\.json .*(finite|edited)"):
        load_record(tmp_path)


def test_a_part_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    """Catches: a key misspelt or of a later format, dropped when the record is written again."""
    data = json.loads(record(stages=[STAGE]).model_dump_json())
    data["stages"][0]["stoped_by"] = "steps"
    (tmp_path / RECORD).write_text(json.dumps(data))
    with pytest.raises(DataError, match=r"stages\.0\.stoped_by"):
        load_record(tmp_path)


def test_a_record_with_an_unknown_field_is_refused(tmp_path: Path) -> None:
    """Catches: a record of a later format read as if nothing were missing."""
    text = record().model_dump_json().replace('"command"', '"later_field": 1, "command"', 1)
    (tmp_path / RECORD).write_text(text)
    with pytest.raises(DataError, match="later_field"):
        load_record(tmp_path)


def test_a_record_whose_id_is_not_its_identitys_is_refused(tmp_path: Path) -> None:
    """Catches: settings or code edited in a record, which then passes for a run that never was."""
    edited = RunIdentity(**{**IDENTITY, "settings": {"stage1": {"lr": 1e-4}}})
    record(identity=edited).save(tmp_path)
    with pytest.raises(DataError, match=r"names sonic-s0-\w+ and holds the identity of sonic-s0-"):
        load_record(tmp_path)


def test_a_record_of_before_failures_were_counted_is_read(tmp_path: Path) -> None:
    """Catches: every older run refused for a field that it cannot have."""
    content = json.loads(record().model_dump_json())
    content.pop("num_earlier_failures")
    (tmp_path / RECORD).write_text(json.dumps(content))
    assert load_record(tmp_path).num_earlier_failures == 0


def test_a_record_of_another_format_is_refused(tmp_path: Path) -> None:
    """Catches: numbers of a later format, under the same names, read as today's."""
    data = json.loads(record().model_dump_json()) | {"schema_version": 2}
    (tmp_path / RECORD).write_text(json.dumps(data))
    with pytest.raises(DataError, match="not a run record of format 1: schema_version"):
        load_record(tmp_path)


def test_a_run_is_found_by_id_start_and_path(tmp_path: Path) -> None:
    """Catches: an id that is the start of another one found twice."""
    for run_id in ("sonic-s0-aa", "sonic-s0-aabb", "baseline-s0-cc"):
        save(tmp_path, run_id)
    assert named_run("base", results=tmp_path).name == "baseline-s0-cc"
    assert named_run("sonic-s0-aa", results=tmp_path).name == "sonic-s0-aa"
    by_path = named_run(str(tmp_path / "runs" / "sonic-s0-aabb"), results=tmp_path)
    assert by_path.name == "sonic-s0-aabb"
    with pytest.raises(UsageError, match="names 2 runs: sonic-s0-aa, sonic-s0-aabb"):
        named_run("sonic", results=tmp_path)


@pytest.mark.parametrize("name", ["", "nope", "/no/such/run", "*", "[", "../x"])
def test_a_name_of_no_run_is_a_sentence(tmp_path: Path, name: str) -> None:
    """Catches: patterns and absolute paths that end in a traceback, or match every run."""
    save(tmp_path, "sonic-s0-aa")
    with pytest.raises(UsageError, match="nothing is named"):
        named_run(name, results=tmp_path)


def test_one_damaged_record_does_not_hide_the_others(tmp_path: Path) -> None:
    """Catches: `harness list --runs` that fails whole on one broken file."""
    whole = record().run_id
    save(tmp_path, whole)
    save(tmp_path, "sonic-s1-bb").write_text("{")
    rows = {row["run_id"]: row["status"] for row in runs_data(tmp_path)}
    assert rows == {whole: "finished", "sonic-s1-bb": "unreadable"}
