"""Train once, score often: what is trained is found again by what decided it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import MismatchError, UsageError
from core.files import file_sha256
from core.foundation.foundation import Foundation
from harness.records.record import Status, load_record
from harness.run import device as devices
from harness.run import sample as sampling
from harness.run.plan import RunRequest, plan_run
from harness.run.rescore import rescore
from harness.run.run import run
from harness.settings.load import load_profile
from harness.wording.display import Display

MakeRequest = Callable[..., RunRequest]


class Heard(Display):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def own(finished: Any, tmp_path: Path) -> RunRequest:
    """The finished run's request in a results folder of its own, with that run in it."""
    shutil.copytree(finished.folder, tmp_path / "runs" / finished.folder.name)
    for name in ("cache", "data"):
        (tmp_path / name).symlink_to(finished.request.results / name)
    return RunRequest(**{**vars(finished.request), "results": tmp_path})


def other(request: RunRequest, *items: str) -> RunRequest:
    return RunRequest(**{**vars(request), "overrides": (*request.overrides, *items)})


def test_only_what_decides_the_weights_makes_another_training(own: RunRequest) -> None:
    """Catches: hours of training repeated for a scorer, or weights reused that are others."""
    first = plan_run(own, display=Display()).identity
    for item, is_same_run, is_same_training in (
        ("sampling.batch_size=3", True, True),
        ("training.checkpoint_every=7", True, True),
        ("sampling.steps=2", False, True),
        ("scorers.image_judge=none", False, True),
        ("training.num_threads=2", False, False),
        ("training.micro_batch=1", False, False),
        ("stage2.lr=1e-5", False, False),
    ):
        items = [item, "scorers.audio_judge=none"] if "judge" in item else [item]
        found = plan_run(other(own, *items), display=Display()).identity
        assert (found.run_id == first.run_id) is is_same_run, item
        assert (found.training_id == first.training_id) is is_same_training, item


def test_other_sampling_scores_the_same_weights_and_trains_nothing(
    own: RunRequest, finished: Any, small_request: MakeRequest, tmp_path: Path
) -> None:
    """Catches: a second training, or scores that differ from those of a run from nothing."""
    heard = Heard()
    record, planned = rescore(
        finished.record.run_id, overrides=["sampling.steps=2"], results=tmp_path, display=heard
    )
    assert record.run_id != finished.record.run_id
    assert record.identity.training_id == finished.record.identity.training_id
    assert record.cost.resumed_from_step == finished.record.steps_done
    assert any("taking over the training of" in line for line in heard.lines)
    assert any(finished.record.run_id in notice for notice in record.notices)
    assert record.stages == finished.record.stages
    alone = run(small_request("sampling.steps=2", results=tmp_path / "alone"), display=Display())
    assert alone.cost.resumed_from_step is None
    assert alone.run_id == record.run_id
    assert alone.arms == record.arms
    weights = planned.folder / "weights.safetensors"
    assert file_sha256(weights) == file_sha256(finished.folder / "weights.safetensors")
    again, _ = rescore(
        finished.record.run_id, overrides=["sampling.steps=2"], results=tmp_path, display=Display()
    )
    assert again == record


def test_scoring_refuses_what_it_cannot_keep(
    own: RunRequest, finished: Any, tmp_path: Path
) -> None:
    """Catches: `harness score` that trains after all."""
    name = finished.record.run_id
    with pytest.raises(UsageError, match="would change the weights"):
        rescore(name, overrides=["stage1.steps=3"], results=tmp_path, display=Display())
    shutil.rmtree(tmp_path / "runs" / name / "checkpoints")
    with pytest.raises(MismatchError, match="no weights to score"):
        rescore(name, overrides=["sampling.steps=3"], results=tmp_path, display=Display())


def test_a_run_that_ran_out_of_memory_samples_in_smaller_batches(
    own: RunRequest, finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a trained run lost to a batch of pictures, or one that says nothing of it."""
    honest, decode = sampling.sample_latents, Foundation.decode_latents
    sizes: list[int] = []

    def short(*args: Any, **words: Any) -> torch.Tensor:
        sizes.append(len(words["noise_BCHW"]))
        if sizes[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return honest(*args, **words)

    monkeypatch.setattr(sampling, "sample_latents", short)
    monkeypatch.setattr(Foundation, "decode_latents", decode)
    heard = Heard()
    request = other(own, "sampling.steps=3", "sampling.batch_size=8")
    record = run(request, display=heard)
    assert record.status is Status.FINISHED
    assert max(sizes) > 2 >= sizes[-1]
    told = [line for line in heard.lines if "smaller batches" in line]
    assert len(told) == 1
    assert told[0] in record.notices


def test_running_out_of_memory_keeps_what_is_trained(
    own: RunRequest, finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: an advice that makes another run of the same command, trained from nothing."""

    def never(*args: Any, **words: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    request = other(own, "sampling.steps=4")
    with monkeypatch.context() as patch:
        patch.setattr(sampling, "sample_latents", never)
        with pytest.raises(Exception, match="what is trained is kept"):
            run(request, display=Display())
    folder = plan_run(request, display=Display()).folder
    assert load_record(folder).status is Status.FAILED
    record = run(other(request, "sampling.batch_size=1"), display=Display())
    assert record.run_id == folder.name
    assert record.cost.resumed_from_step == finished.record.steps_done


def test_encoding_and_decoding_halve_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a run that ends at its first batch of pictures, or a picture out of its place."""
    foundation = Foundation(stable_diffusion="embedded:stable_diffusion", clap="embedded:clap")
    pictures = torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    mean, std = foundation.encode_images(pictures)
    decoded = foundation.decode_latents(mean)
    for name in ("encode", "decode"):
        honest = getattr(foundation.vae, name)

        def short(batch: torch.Tensor, honest: Any = honest) -> Any:
            if len(batch) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return honest(batch)

        monkeypatch.setattr(foundation.vae, name, short)
    for got, expected in zip(foundation.encode_images(pictures), (mean, std), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(foundation.decode_latents(mean), decoded, rtol=1e-4, atol=1e-4)
    assert len(foundation.notices) == 2


def test_full_size_is_refused_on_a_cpu_that_nobody_asked_for() -> None:
    """Catches: weeks of training on a machine whose GPU could not be used."""
    profile = load_profile("sd15")
    with pytest.raises(UsageError, match=r"give --device cpu if that is meant"):
        devices.require_fit_device(profile, asked=None)
    assert devices.require_fit_device(profile, asked="cpu") == "cpu"
    assert devices.require_fit_device(load_profile("tiny"), asked=None) == "cpu"
    with pytest.raises(UsageError, match="--device cuda, but torch"):
        devices.training_device("cuda")


def test_the_first_line_of_a_run_names_its_device(own: RunRequest) -> None:
    """Catches: a run that is on the CPU and says so at its end."""
    heard = Heard()
    run(other(own, "sampling.steps=5"), display=heard)
    assert " on the CPU: " in heard.lines[0]
    assert "cores, torch " in heard.lines[0]


def test_a_command_reads_back_as_its_request(own: RunRequest) -> None:
    """Catches: a setting that is lost when a run is scored anew."""
    request = RunRequest(**{**vars(own), "device": "cpu", "config": Path("a file.toml"), "seed": 3})
    assert RunRequest.of_command(request.command) == request
