"""A pack goes on elsewhere where this machine stopped, to the bit, and nothing in it is trusted."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from core.errors import BusyError, HarnessError, MismatchError, UsageError
from core.files import file_sha256
from core.training.interrupts import Interrupted
from core.training.results import StepReport
from harness.archive.read import check_archive
from harness.cli.main import app
from harness.metrics.feature_cache import FeatureCache
from harness.pack.command import Command, Packed
from harness.pack.contents import DataMode
from harness.pack.encode import requests_of
from harness.pack.keep import keep
from harness.pack.pack import Pack, PackRequest, make_pack
from harness.pack.unpack import unpack
from harness.records.lock import held
from harness.records.record import load_record
from harness.run.plan import RunRequest
from harness.run.run import run
from harness.wording.display import Display

MakeRequest = Callable[..., RunRequest]
STOPPED_AFTER = 3


class Stopper(Display):
    """Stops the run by a signal after a step, as a provider does that wants its machine back."""

    def step(self, report: StepReport) -> None:
        if report.global_step == STOPPED_AFTER:
            os.kill(os.getpid(), signal.SIGTERM)


@dataclass(frozen=True)
class HalfFinished:
    """A run that was stopped, its request and the pack that takes it along."""

    request: RunRequest
    folder: Path
    pack: Pack
    small: Pack
    """The same with features alone of what is trained on."""

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(self.request.words[1:])


@pytest.fixture(scope="module")
def half(small_request: MakeRequest, tmp_path_factory: pytest.TempPathFactory) -> HalfFinished:
    """The session's run again in another results folder, stopped after its third step."""
    results = tmp_path_factory.mktemp("half") / "results"
    request = small_request(results=results)
    with pytest.raises(Interrupted):
        run(request, display=Stopper())
    (folder,) = (results / "runs").iterdir()
    made, small = (
        make_pack(
            PackRequest(words=tuple(request.words[1:]), runs=(), results=results, data=mode),
            out=results.parent / f"{mode.value}.tar",
            display=Display(),
        )
        for mode in (DataMode.MEDIA, DataMode.FEATURES)
    )
    return HalfFinished(request=request, folder=folder, pack=made, small=small)


@pytest.fixture
def harness_command(tmp_path: Path) -> Path:
    """A `harness` that runs the packed project with this environment's libraries."""
    script = tmp_path / "harness"
    script.write_text(
        f'#!/bin/sh\nPYTHONPATH="$BOX/project" exec {sys.executable} -m harness "$@"\n'
    )
    script.chmod(0o755)
    return script


def test_a_half_finished_run_goes_on_elsewhere_bit_for_bit(
    half: HalfFinished, finished: Any, harness_command: Path, tmp_path: Path
) -> None:
    """Catches: a pack that lacks something, starts from step 0, or comes to other weights."""
    done = unpack(half.pack.path, tmp_path / "box", is_checked=True)
    assert done.facts.runs[0].checkpoint == f"step-{STOPPED_AFTER:08d}"
    said = subprocess.run(
        ["sh", str(tmp_path / "box" / "continue.sh")],
        env={**os.environ, "HARNESS": str(harness_command), "BOX": str(tmp_path / "box")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert said.returncode == 0, said.stderr
    there = tmp_path / "box" / "work" / "results" / "runs" / finished.record.run_id
    record = load_record(there)
    assert record.cost.resumed_from_step == STOPPED_AFTER
    for name in ("weights.safetensors", "per_clip.csv"):
        assert (there / name).read_bytes() == (finished.folder / name).read_bytes()
    images = sorted(path.name for path in (finished.folder / "images" / "audio").iterdir())
    for name in images:
        assert file_sha256(there / "images/audio" / name) == file_sha256(
            finished.folder / "images/audio" / name
        )


def test_setting_up_alone_starts_no_run(
    half: HalfFinished, harness_command: Path, tmp_path: Path
) -> None:
    """Catches: a matrix that begins where only the environment was asked for, a word ignored."""
    unpack(half.pack.path, tmp_path / "box", is_checked=False)
    for word, code in (("setup", 0), ("smoke", 2)):
        said = subprocess.run(
            ["sh", str(tmp_path / "box" / "continue.sh"), word],
            env={**os.environ, "HARNESS": str(harness_command), "BOX": str(tmp_path / "box")},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert said.returncode == code, said.stderr
        assert ("embedded:clap" in said.stdout) == (word == "setup")  # its weights are seen to
    there = tmp_path / "box" / "work" / "results" / "runs" / half.folder.name
    assert not (there / "record.json").exists()


def test_the_same_content_gives_the_same_pack(half: HalfFinished, tmp_path: Path) -> None:
    """Catches: a time, a lock or a place of this machine in a file that is known by its hash."""
    again = make_pack(
        PackRequest(words=half.words, runs=(), results=half.request.results, data=DataMode.MEDIA),
        out=tmp_path / "again.tar",
        display=Display(),
    )
    assert again.sha256 == half.pack.sha256
    names = [file.name for file in check_archive(again.path)]
    assert not any(name.endswith(("run.lock", "holder.json", ".pyc")) for name in names)
    here = str(half.request.results).encode()
    script = next((tmp_path / "again.tar").read_bytes().split(b"#!/bin/sh")[i] for i in (1,))
    assert here not in script


def test_features_only_leaves_out_what_is_trained_on(half: HalfFinished, tmp_path: Path) -> None:
    """Catches: gigabytes of training sounds in a pack that was asked to be small."""
    small = half.small
    whole = [f.name for f in check_archive(half.pack.path) if "work/data/media/" in f.name]
    names = [f.name for f in check_archive(small.path) if "work/data/media/" in f.name]
    assert 0 < len(names) < len(whole)
    assert small.facts.rows == half.pack.facts.rows
    assert any("as features alone" in notice for notice in small.facts.notices)
    bare = make_pack(
        PackRequest(words=half.words, runs=(), results=half.request.results, data=DataMode.NONE),
        out=tmp_path / "bare.tar",
        display=Display(),
    )
    names = [f.name for f in check_archive(bare.path)]
    assert not any("work/data/media/" in name or "results/cache/" in name for name in names)


def test_features_of_other_models_stay_here(
    half: HalfFinished, finished: Any, tmp_path: Path
) -> None:
    """Catches: gigabytes of another CLAP's features of the same clips on a machine that has no use
    for them, or features of the packed models that are left behind."""
    results = tmp_path / "results"
    shutil.copytree(half.request.results, results)
    for kind, change in (("clap", {"encoder": "another"}), ("latents", {"dtype": "torch.float16"})):
        (own,) = (results / "cache" / "features").glob(f"{kind}-*")
        other = own.with_name(f"{kind}-0123456789abcdef")
        shutil.copytree(own, other)
        settings = json.loads((other / "settings.json").read_text())
        (other / "settings.json").write_text(json.dumps({**settings, **change}))
    scorers = results / "cache" / "scorer_features"
    shutil.copytree(finished.folder.parents[1] / "cache" / "scorer_features", scorers)
    ours = sorted(path.name for path in scorers.iterdir())
    context = {"split": finished.record.identity.split_hash, "core": "c", "metrics": "m"}
    for name, change, scorer in (("a", {}, "another"), ("b", {"split": "another"}, "clip")):
        FeatureCache(scorers, context={**context, **change}).arrays(
            name, ids=["1"], fingerprint=scorer, compute=lambda: {"features": np.zeros((1, 2))}
        )
    words = [str(results) if w == str(half.request.results) else w for w in half.words]
    made = make_pack(
        PackRequest(words=tuple(words), runs=(), results=results, data=DataMode.FEATURES),
        out=tmp_path / "box.tar",
        display=Display(),
    )
    assert made.facts.rows == half.small.facts.rows
    packed = [file.name for file in check_archive(made.path)]
    assert not any("0123456789abcdef" in name for name in packed)
    assert sorted(Path(name).name for name in packed if "scorer_features/" in name) == ours


def test_one_changed_byte_is_found_before_and_after_unpacking(
    half: HalfFinished, tmp_path: Path
) -> None:
    """Catches: a transfer, or a disk over there, that changed one byte."""
    content = bytearray(half.pack.path.read_bytes())
    content[len(content) // 2] ^= 4
    (tmp_path / "bad.tar").write_bytes(content)
    with pytest.raises(HarnessError):
        unpack(tmp_path / "bad.tar", tmp_path / "box", is_checked=True)
    assert not (tmp_path / "box").exists()
    unpack(half.pack.path, tmp_path / "box", is_checked=False)
    assert not unpack(half.pack.path, tmp_path / "box", is_checked=True).is_new
    victim = tmp_path / "box" / "project" / "core" / "files.py"
    changed = bytearray(victim.read_bytes())
    changed[100] ^= 1
    victim.write_bytes(changed)
    with pytest.raises(MismatchError, match=r"core/files\.py"):
        unpack(half.pack.path, tmp_path / "box", is_checked=True)
    with pytest.raises(UsageError, match="not an empty folder"):
        unpack(half.pack.path, tmp_path / "box", is_checked=False)


def test_what_the_cache_lacks_is_computed_before_it_is_packed(
    half: HalfFinished, small_request: MakeRequest, tmp_path: Path
) -> None:
    """Catches: paid minutes in which frozen encoders run, or a pack of features without any."""
    words = tuple(small_request(results=tmp_path / "results").words[1:])
    request = PackRequest(
        words=words, runs=(), results=tmp_path / "results", data=DataMode.FEATURES, encodes=False
    )
    bare = make_pack(request, out=tmp_path / "bare.tar", display=Display())
    assert bare.facts.rows == {}
    made = make_pack(replace(request, encodes=True), out=tmp_path / "b.tar", display=Display())
    assert made.facts.rows == half.small.facts.rows
    assert made.facts.commands == half.small.facts.commands


def test_the_branches_of_each_command_are_encoded_for(tmp_path: Path) -> None:
    """Catches: features of one branch of a comparison, a branch that only its settings name."""
    config = tmp_path / "c.toml"
    config.write_text('variant = "sonic"\n')
    for words, branches in (
        (["compare"], ["baseline", "sonic", "cutting_edge"]),
        (["compare", "--variants", "sonic,text_only"], ["sonic", "text_only"]),
        (["sweep", "--variant", "sonic"], ["sonic"]),
        (["run", "--config", str(config)], ["sonic"]),
    ):
        requests = requests_of(Command.of(words))
        assert [request.variant for request in requests] == branches
    assert requests[0].config == config
    with pytest.raises(UsageError, match="names no branch"):
        requests_of(Command.of(["run", "--seed", "1"]))


def test_an_interrupted_run_goes_on_by_the_command_of_its_last_process(
    half: HalfFinished, tmp_path: Path
) -> None:
    """Catches: a run without a record that cannot be packed by its name."""
    request = PackRequest(
        words=(), runs=(half.folder.name,), results=half.request.results, data=DataMode.NONE
    )
    made = make_pack(request, out=tmp_path / "box.tar", display=Display())
    assert made.facts.commands == half.pack.facts.commands
    assert made.facts.runs == half.pack.facts.runs
    bare = tmp_path / "results" / "runs" / half.folder.name
    shutil.copytree(half.folder, bare)
    (bare / "sessions.jsonl").unlink()
    other = replace(request, results=tmp_path / "results")
    with pytest.raises(UsageError, match="give that command after --"):
        make_pack(other, out=tmp_path / "box.tar", display=Display())


def test_the_packed_project_has_what_its_wheel_is_built_of(half: HalfFinished) -> None:
    """Catches: an install over there that ends at a folder which only the checkout has."""
    root = Path(__file__).parents[3]
    build = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    wanted = [*build["targets"]["wheel"]["packages"], *build["targets"]["wheel"]["force-include"]]
    names = [file.name for file in check_archive(half.pack.path)]
    for folder in wanted:
        assert any(name.startswith(f"project/{folder}/") for name in names), folder
    measured = [Path(name).name for name in names if "benchmarks/results/" in name]
    assert {name.partition("-")[0] for name in measured} == {"cpu", "gpu"}


def test_a_run_at_work_or_of_another_split_is_not_packed(
    half: HalfFinished, small_corpus: Path, tmp_path: Path
) -> None:
    """Catches: a checkpoint copied while it is written, a run that could never go on there."""
    request = PackRequest(
        words=half.words, runs=(half.folder.name,), results=half.request.results, data=DataMode.NONE
    )
    with held(half.folder), pytest.raises(BusyError):
        make_pack(request, out=tmp_path / "x.tar", display=Display())
    other = ("run", "--variant", "baseline", "--data", str(small_corpus), "--set",
             "data.split_seed=9", "--results", str(half.request.results))  # fmt: skip
    with pytest.raises(MismatchError, match="another split"):
        make_pack(
            PackRequest(
                words=other,
                runs=(half.folder.name,),
                results=half.request.results,
                data=DataMode.NONE,
            ),
            out=tmp_path / "x.tar",
            display=Display(),
        )


def test_settings_files_go_along_and_are_named_where_they_lie(tmp_path: Path) -> None:
    """Catches: a path of this machine in a command of another one."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.toml").write_text(f"# {folder}\n")
    first, second = tmp_path / "a" / "mine.toml", tmp_path / "b" / "mine.toml"
    command = Command.of(
        ["compare", "--profile", str(first), "--config", str(second), "--seeds=2",
         "--data", "/home/me/pairs", "--results", "/home/me/results", "--json"]
    )  # fmt: skip
    packed = Packed()
    words = packed.words(command)
    assert words == [
        "compare", "--profile", "settings/mine.toml", "--config", "settings/mine-2.toml",
        "--seeds", "2", "--json", "--data", "data/lock.json", "--results", "results",
    ]  # fmt: skip
    assert len(packed.members) == 2
    assert packed.words(command) == words
    assert len(packed.members) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["list"], "cannot be packed"),
        (["compare", "--from", "a", "b"], "is not an option"),
        (["run", "--variant"], "lacks its value"),
    ],
)
def test_a_command_that_has_no_use_there_is_refused(words: list[str], message: str) -> None:
    """Catches: a box that is rented to say that its command cannot be read."""
    with pytest.raises(UsageError, match=message):
        Command.of(words)


def test_the_commands_print_what_is_in_it(half: HalfFinished, tmp_path: Path) -> None:
    """Catches: an option that is not handed on, an object that is not one."""
    out = tmp_path / "box.tar"
    done = CliRunner().invoke(
        app, ["pack", "--out", str(out), "--with-data", "--json", "--", *half.words]
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["sha256"] == half.pack.sha256
    shown = CliRunner().invoke(app, ["unpack", str(out), "--dir", str(tmp_path / "box"), "--check"])
    assert shown.exit_code == 0, shown.output
    assert f"{half.folder.name} from step-{STOPPED_AFTER:08d}" in shown.stdout
    both = CliRunner().invoke(app, ["pack", "--out", "x", "--with-data", "--features-only"])
    assert both.exit_code != 0


def test_a_command_is_kept_in_a_store_and_its_signal_handed_on(
    half: HalfFinished, tmp_path: Path
) -> None:
    """Catches: a run that is fetched and not given back, an exit code that is swallowed."""
    store, results = tmp_path / "kept", tmp_path / "results"
    place = results / "runs" / half.folder.name
    shutil.copytree(half.folder, place)
    assert keep(["list", "--runs", "--results", str(results)], store=f"file://{store}",
                results=results) == 0  # fmt: skip
    kept = store / "runs" / half.folder.name / "checkpoints" / f"step-{STOPPED_AFTER:08d}"
    assert (kept / "sha256.json").is_file()
    shutil.rmtree(results)
    assert keep(["show", "nothing"], store=f"file://{store}", results=results) == 2
    assert (place / "checkpoints" / kept.name / "sha256.json").is_file()
