"""Exporters run as real processes; their packages, whose weights need a network, are stand-ins."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from typer.testing import CliRunner

from core.data.cleaning.clean import build_manifest
from core.data.splits.make import make_split
from core.data.splits.split import Split
from core.embedded.corpus.folder import write_corpus
from core.errors import DataError, HarnessError, MismatchError, UsageError
from core.features.exported import ExportedEmbeddings
from core.features.index import SILENCE
from harness.cli.main import app
from harness.data.export import Export, plan_export, run_export, shell_lines
from harness.records.record import Status
from harness.run.plan import RunRequest, plan_run
from harness.run.run import run
from harness.settings.load import load_profile
from harness.wording.display import Display
from tests.harness.processes import harness

MSCLAP = '''
from types import SimpleNamespace

import torch

class CLAP:
    """The shapes of the wrapper, and an embedding that tells what it was given."""

    def __init__(self, model_fp, version, use_cuda):
        assert version == "2023" and not use_cuda
        self.args = SimpleNamespace(sampling_rate=44100, duration=7)
        self.clap = SimpleNamespace(audio_encoder=torch.nn.Linear(1, 1))

    def _get_audio_embeddings(self, waveforms_B1T):
        assert waveforms_B1T.shape[1:] == (1, 7 * 44100)
        level = waveforms_B1T.square().mean(dim=(1, 2)).sqrt()
        return level[:, None].repeat(1, 1024)
'''


LAION_CLAP = """
import numpy as np
import torch


class CLAP_Module:
    # Embeds by its loaded weight, and tells which network it was built as.
    def __init__(self, enable_fusion, amodel, device):
        self.built = (enable_fusion, amodel, device)
        self.model = torch.nn.Linear(1, 1, bias=False)

    def get_audio_embedding_from_data(self, x, use_tensor):
        assert x.shape[1:] == (480_000,) and not use_tensor
        assert self.built == (False, "HTSAT-base", "cpu"), self.built
        level = np.sqrt(np.square(x).mean(axis=1, keepdims=True))
        return level * self.model.weight.item()
"""


def checkpoint(path: Path, **weights: float) -> Path:
    """A file as the package ships it."""
    state = {"weight": 1.0, "bias": 1.0} | weights
    torch.save({"model": {f"audio_encoder.{n}": torch.tensor(v) for n, v in state.items()}}, path)
    return path


@pytest.fixture
def split(tmp_path: Path) -> Split:
    folder = tmp_path / "media"
    write_corpus(folder, counts={"fire": 3}, spoilt=False)
    return make_split(build_manifest(folder, max_excluded_share=0))


@pytest.fixture
def export(tmp_path: Path, split) -> Export:
    (tmp_path / "stand-in").mkdir()
    (tmp_path / "stand-in" / "msclap.py").write_text(MSCLAP)
    weights = checkpoint(tmp_path / "weights.pth")
    return plan_export("msclap", split=split, weights=weights, results=tmp_path / "results")


def run_exporter(
    export: Export, *, tmp_path: Path, is_alone: bool = False
) -> "subprocess.CompletedProcess[str]":
    """The exporter's own command, by this interpreter instead of the environment's.

    is_alone: started from nothing, where this project's modules cannot be imported.
    """
    _, script, *words = [*export.commands[-1], "--batch-size", "2"]
    env = {"PYTHONPATH": str(tmp_path / "stand-in"), "PATH": ""}
    if not is_alone:
        return harness(*words, script=Path(script), env=env)
    command = [sys.executable, script, *words]
    return subprocess.run(
        command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False
    )


def test_exporter_embeds_every_locked_sound_and_silence(
    export: Export, split: Split, tmp_path: Path
) -> None:
    """Catches: rows in another order than their keys, a window of the wrong length, no silence."""
    done = run_exporter(export, tmp_path=tmp_path, is_alone=True)
    assert done.returncode == 0, done.stderr
    embeddings = ExportedEmbeddings.load(export.out)
    sounds = {sample.audio_sha256: sample.audio_path for sample in split.samples.values()}
    assert set(embeddings.keys) == {*sounds, SILENCE}
    assert embeddings.width == 1024
    table = embeddings.table([*sounds, SILENCE], name="msclap_pooled")
    for sha256, path in sounds.items():
        samples, rate_hz = soundfile.read(split.root / path)
        heard = np.tile(soxr.resample(samples, rate_hz, 44_100), 3)[: 7 * 44_100]
        level = float(np.sqrt(np.mean(np.square(heard))))
        row = table.rows([sha256], name="msclap_pooled")[0]
        assert row[0].item() == pytest.approx(level, rel=1e-3)
    assert torch.equal(table.rows([SILENCE], name="msclap_pooled")[0], torch.zeros(1024))


def test_second_export_encodes_only_what_is_missing(export: Export, tmp_path: Path) -> None:
    """Catches: an interrupted export that starts from nothing."""
    run_exporter(export, tmp_path=tmp_path)
    before = (export.out / "embeddings.json").read_text()
    again = run_exporter(export, tmp_path=tmp_path)
    assert again.returncode == 0, again.stderr
    assert again.stdout == ""
    assert (export.out / "embeddings.json").read_text() == before


def test_other_weights_do_not_mix_with_what_is_there(export: Export, tmp_path: Path) -> None:
    """Catches: rows of two checkpoints in one table."""
    run_exporter(export, tmp_path=tmp_path)
    checkpoint(tmp_path / "weights.pth", bias=2.0)
    refused = run_exporter(export, tmp_path=tmp_path)
    assert refused.returncode == 1
    assert "another weights_sha256" in refused.stderr


def test_checkpoint_of_something_else_encodes_nothing(export: Export, tmp_path: Path) -> None:
    """Catches: an encoder left at random, which the package's wrapper lets pass; a traceback."""
    torch.save({"model": {"audio_encoder.weight": torch.ones(1)}}, tmp_path / "weights.pth")
    refused = run_exporter(export, tmp_path=tmp_path)
    assert refused.returncode == 1
    assert "lacks 1 of 2 weights (audio_encoder.bias, ...)" in refused.stderr
    (tmp_path / "weights.pth").write_bytes(b"weights")
    refused = run_exporter(export, tmp_path=tmp_path)
    assert refused.returncode == 1
    assert "is not an msclap checkpoint" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not export.out.joinpath("embeddings.json").exists()


def test_laions_checkpoint_is_read_as_its_training_saved_it(split: Split, tmp_path: Path) -> None:
    """Catches: weights left at random, a network of another size, numpy's scalars refused."""
    (tmp_path / "stand-in").mkdir()
    (tmp_path / "stand-in" / "laion_clap.py").write_text(LAION_CLAP)
    path = tmp_path / "music_speech_epoch_15.pt"
    state = {"module.weight": torch.tensor([[3.0]])}
    buffer = {"module.text_branch.embeddings.position_ids": torch.arange(3)}
    torch.save({"epoch": 15, "loss": np.float64(0.5), "state_dict": state | buffer}, path)
    export = plan_export("laion-clap", split=split, weights=path, results=tmp_path / "results")
    done = run_exporter(export, tmp_path=tmp_path)
    assert done.returncode == 0, done.stderr
    embeddings = ExportedEmbeddings.load(export.out)
    assert export.setting == f"foundation.exported.clap_pooled={export.out}"
    sample = next(iter(split.samples.values()))
    samples, rate_hz = soundfile.read(split.root / sample.audio_path)
    heard = np.tile(soxr.resample(samples, rate_hz, 48_000), 10)[:480_000]
    row = embeddings.table([sample.audio_sha256], name="clap").rows(
        [sample.audio_sha256], name="clap"
    )[0]
    assert row[0].item() == pytest.approx(3 * float(np.sqrt(np.mean(np.square(heard)))), rel=1e-3)
    torch.save({"state_dict": {"module.other": torch.zeros(1)}}, path)
    refused = run_exporter(export, tmp_path=tmp_path)
    assert refused.returncode == 1
    assert "is not a LAION CLAP checkpoint" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_changed_sound_is_not_encoded(export: Export, split: Split, tmp_path: Path) -> None:
    """Catches: an embedding of another sound than the locked one."""
    changed = split.root / next(iter(split.samples.values())).audio_path
    changed.write_bytes(changed.read_bytes() + b"\0")
    refused = run_exporter(export, tmp_path=tmp_path)
    assert refused.returncode == 1
    assert "is not the file that was locked" in refused.stderr


def test_flipped_byte_of_the_rows_is_refused(export: Export, tmp_path: Path) -> None:
    """Catches: damaged embeddings that train a branch."""
    run_exporter(export, tmp_path=tmp_path)
    rows = ExportedEmbeddings.load(export.out).rows
    content = bytearray(rows.read_bytes())
    content[-1] ^= 1
    rows.write_bytes(content)
    with pytest.raises(MismatchError, match="not what the exporter wrote"):
        ExportedEmbeddings.load(export.out)


def test_sound_that_was_not_exported_is_named_in_a_sentence(export: Export, tmp_path: Path) -> None:
    """Catches: a KeyError in the middle of a run on another split."""
    run_exporter(export, tmp_path=tmp_path)
    embeddings = ExportedEmbeddings.load(export.out)
    with pytest.raises(DataError, match=r"1 of 2 sounds have no embedding of msclap-2023"):
        embeddings.table([SILENCE, "0" * 64], name="msclap_pooled")
    with pytest.raises(DataError, match="no exported embeddings"):
        ExportedEmbeddings.load(tmp_path / "nowhere")


def test_revision_names_the_weights_and_not_the_sounds(export: Export, tmp_path: Path) -> None:
    """Catches: a run id that changes with the split's size, or survives another checkpoint."""
    run_exporter(export, tmp_path=tmp_path)
    embeddings = ExportedEmbeddings.load(export.out)
    fewer = replace(embeddings, keys=embeddings.keys[:1])
    assert fewer.revision == embeddings.revision
    other = replace(embeddings, made_by={**embeddings.made_by, "weights_sha256": "0"})
    assert other.revision != embeddings.revision


def test_plan_names_every_command_and_refuses_mistakes(
    export: Export, split: Split, tmp_path: Path
) -> None:
    """Catches: a request without clips, requirements of another encoder, a silent wrong name."""
    clips = json.loads(export.request.read_text())["clips"]
    assert len(clips) == len({sample.audio_sha256 for sample in split.samples.values()})
    assert all(Path(clip["path"]).is_file() for clip in clips)
    make, fill, encode = shell_lines(export)
    assert " -m venv " in make
    assert "requirements-msclap.txt" in fill
    assert "export_msclap.py" in encode
    with pytest.raises(UsageError, match="did you mean 'msclap'"):
        plan_export("mscalp", split=split, weights=tmp_path / "weights.pth", results=tmp_path)
    with pytest.raises(UsageError, match="CLAP_weights_2023"):
        plan_export("msclap", split=split, weights=tmp_path / "none", results=tmp_path)


def test_unnamed_checkpoint_is_the_cached_one_or_is_fetched_first(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: commands that cannot be printed before a download; one fetched a second time."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    fetch, _, _, encode = plan_export(
        "msclap", split=split, weights=None, results=tmp_path
    ).commands
    assert fetch[1:5] == ("download", "microsoft/msclap", "CLAP_weights_2023.pth", "--local-dir")
    path = Path(fetch[5], "CLAP_weights_2023.pth")
    assert encode[-2:] == ("--weights", str(path))
    path.parent.mkdir(parents=True)
    checkpoint(path)
    assert len(plan_export("msclap", split=split, weights=None, results=tmp_path).commands) == 3
    commit = "0" * 40
    repository = tmp_path / "hub" / "models--microsoft--msclap"
    cached = repository / "snapshots" / commit / "CLAP_weights_2023.pth"
    for folder in (cached.parent, repository / "refs"):
        folder.mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    checkpoint(cached)
    commands = plan_export("msclap", split=split, weights=None, results=tmp_path).commands
    assert commands[-1][-2:] == ("--weights", str(cached))


def test_environment_is_made_once_and_a_failure_says_where(export: Export, tmp_path: Path) -> None:
    """Catches: 2 GB installed again for each split, or a half-filled environment taken for one."""
    environment = tmp_path / "environment"
    said = tmp_path / "said"

    def step(word: str, code: int = 0) -> tuple[str, ...]:
        line = f"open({str(said)!r}, 'a').write('{word} '); raise SystemExit({code})"
        return sys.executable, "-c", line

    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").symlink_to(sys.executable)
    encode = (str(environment / "bin" / "python"), *step("encode")[1:])
    broken = replace(export, commands=(step("make"), step("fill", 3), encode))
    with pytest.raises(HarnessError, match="stopped with exit code 3 at"):
        run_export(broken)
    whole = replace(export, commands=(step("fetch"), step("make"), step("fill"), encode))
    run_export(whole)
    run_export(replace(whole, commands=whole.commands[1:]))
    assert said.read_text().split() == [
        *("make", "fill"),
        *("fetch", "make", "fill", "encode"),
        "encode",
    ]


def test_printed_commands_are_lines_to_copy(small_corpus: Path, tmp_path: Path) -> None:
    """Catches: a terminal's width in the middle of a path; `--print` that wants a download."""
    words = ["features", "--encoder", "msclap", "--print", "--data", str(small_corpus)]
    result = CliRunner().invoke(app, [*words, "--results", str(tmp_path / ("long_" * 30))])
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stdout.splitlines() if line.startswith("/")]
    assert [line.count(" --out ") for line in lines] == [0, 0, 0, 1]
    wrong = CliRunner().invoke(app, ["features", "--encoder", "msclip"])
    assert isinstance(wrong.exception, UsageError)
    assert "did you mean 'msclap'" in str(wrong.exception)


def test_only_pooled_embeddings_can_stand_in() -> None:
    """Catches: a spectrogram setting that nothing reads."""
    profile = load_profile("tiny", overrides=["foundation.exported.msclap_pooled=/some/where"])
    assert {k.value: v for k, v in profile.foundation.exported.items()} == {
        "msclap_pooled": "/some/where"
    }
    with pytest.raises(UsageError, match="log_mel cannot be exported"):
        load_profile("tiny", overrides=["foundation.exported.log_mel=/some/where"])


def test_run_hears_by_exported_embeddings(
    small_request: Callable[..., RunRequest], one_thread: None, tmp_path: Path
) -> None:
    """Catches: an exported feature that a run never reads, or one whose absence is a traceback."""
    deaf = small_request("variant.audio=msclap", variant="cutting_edge")
    with pytest.raises(UsageError, match=r"harness features --encoder msclap"):
        run(deaf, display=Display())
    planned = plan_run(deaf, display=Display())
    weights = checkpoint(tmp_path / "weights.pth")
    (tmp_path / "stand-in").mkdir()
    (tmp_path / "stand-in" / "msclap.py").write_text(MSCLAP)
    export = plan_export("msclap", split=planned.prepared.split, weights=weights, results=tmp_path)
    assert run_exporter(export, tmp_path=tmp_path).returncode == 0
    hearing = small_request("variant.audio=msclap", export.setting, variant="cutting_edge")
    record = run(hearing, display=Display())
    assert record.status is Status.FINISHED
    revision = ExportedEmbeddings.load(export.out).revision
    assert record.identity.models["exported.msclap_pooled"] == revision
    assert str(tmp_path) not in record.identity.model_dump_json()
