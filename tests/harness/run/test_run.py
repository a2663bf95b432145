"""One run from files to record: what it leaves, that it repeats, and what it refuses."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from core.errors import BusyError, DataError, GuardError, HarnessError, MismatchError
from core.files import file_sha256
from core.foundation.foundation import Foundation
from core.training import guards
from harness.metrics.arms import Arm
from harness.records.events import EventLog
from harness.records.folders import FAILURES, RECORD
from harness.records.lock import held
from harness.records.record import Status, load_record
from harness.records.score_kind import Score
from harness.run import work
from harness.run.plan import RunRequest, plan_run
from harness.run.run import run
from harness.wording.display import Display

MakeRequest = Callable[..., RunRequest]

OF_CLASSES = frozenset(Arm) - {Arm.CHANCE}
"""Arms of data with one class a clip."""


def numbers(folder: Path) -> dict[str, Any]:
    """Everything of a run that must repeat bit by bit."""
    record = load_record(folder)
    images = sorted((folder / "images").rglob("*.png"))
    return {
        "weights": file_sha256(folder / "weights.safetensors"),
        "per_clip": (folder / "per_clip.csv").read_bytes(),
        "images": [(p.relative_to(folder).as_posix(), file_sha256(p)) for p in images],
        "arms": record.arms,
        "controls": record.controls,
        "losses": [stage.last_loss for stage in record.stages],
    }


def steps_logged(folder: Path) -> list[int]:
    lines = (folder / "events.jsonl").read_text().splitlines()
    return [json.loads(line)["global_step"] for line in lines]


def test_a_run_leaves_a_record_with_every_arm(finished: Any) -> None:
    """Catches: an arm that was not sampled, a score left out, a phase without its seconds."""
    record = finished.record
    assert record == load_record(finished.folder)
    assert record.status is Status.FINISHED
    assert set(record.arms) == {*OF_CLASSES, "real"}
    assert record.metrics == record.arms["audio"]
    assert {"listening_rank", "aic", "clip_score", "kid"} <= set(record.metrics)
    assert record.metrics["listening_rank"].n == 2
    assert [stage.stage for stage in record.stages] == ["stage1", "stage2", "stage3"]
    assert [stage.steps_done for stage in record.stages] == [2, 2, 1]
    assert record.test_openings == 1
    assert {"verify", "features", "train", "sample", "score"} <= set(record.cost.seconds)
    assert record.split.excluded
    assert {
        "guidance_was_trained",
        "latents_match_pictures",
        "class_weights",
        "features_differ",
        "batch_equals_singles",
        "silent_identity",
        "adapter_identity",
        "gradient_reach",
        "frozen_unchanged",
    } <= set(record.guards_passed)


def test_every_test_clip_has_a_picture_in_each_arm(finished: Any) -> None:
    """Catches: pictures of another size or kind, or an arm with clips missing."""
    per_arm = {arm: list((finished.folder / "images" / arm).glob("*.png")) for arm in OF_CLASSES}
    counts = {arm: len(paths) for arm, paths in per_arm.items()}
    expected = sum(parts["test"] for parts in finished.record.split.counts.values())
    assert counts == {
        Arm.AUDIO: expected,
        Arm.SILENCE: expected,
        Arm.TEXT_ONLY: expected,
        Arm.SHUFFLED: 2,  # only fire has two test clips
    }
    with Image.open(per_arm[Arm.AUDIO][0]) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")
        assert np.ptp(np.asarray(picture)) > 0
    table = pd.read_csv(finished.folder / "per_clip.csv")
    assert set(table["arm"]) == {*OF_CLASSES, "real"}


def test_the_event_log_holds_each_step_once(finished: Any) -> None:
    """Catches: a step logged twice or not at all."""
    assert steps_logged(finished.folder) == [1, 2, 3, 4, 5]


def test_a_finished_run_is_returned_without_touching_a_model(
    finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a second call that loads, trains or samples again."""

    def loaded(self: Foundation, cls: Any, part: str) -> None:
        raise AssertionError(f"{part} was loaded for a finished run")

    monkeypatch.setattr(Foundation, "_whole", loaded)
    monkeypatch.setattr(Foundation, "_load", loaded)
    stamp = (finished.folder / RECORD).stat().st_mtime_ns
    assert run(finished.request, display=Display()) == finished.record
    assert (finished.folder / RECORD).stat().st_mtime_ns == stamp


def test_a_lost_record_and_a_lost_folder_come_back_bit_identical(
    finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a score or weight that depends on the clock, on order or on left-over files."""
    # From nothing, not from another run of the same training in the shared folder.
    monkeypatch.setattr(work, "take_over_training", lambda planned: None)
    before = numbers(finished.folder)
    kept = tmp_path / "kept"
    shutil.copytree(finished.folder, kept)
    try:
        (finished.folder / RECORD).unlink()
        again = run(finished.request, display=Display())
        assert again.run_id == finished.record.run_id
        assert again.cost.resumed_from_step == 5
        assert numbers(finished.folder) == before
        shutil.rmtree(finished.folder)
        finished.folder.mkdir()
        # What a kill before the first checkpoint leaves: steps that are made again.
        (finished.folder / "events.jsonl").write_text('{"global_step": 1}\n{"glo')
        assert run(finished.request, display=Display()).cost.resumed_from_step is None
        assert numbers(finished.folder) == before
        assert steps_logged(finished.folder) == [1, 2, 3, 4, 5]
    finally:
        shutil.rmtree(finished.folder)
        shutil.copytree(kept, finished.folder)


def test_a_guard_leaves_a_failed_record_that_is_tried_again(
    small_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a void run without a trace, or one that counts as finished."""
    request = small_request(seed=1)

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise GuardError("the sound is lost")

    monkeypatch.setattr(guards, "check_features_differ", refuse)
    for _ in range(2):  # a failed run is no finished one: the second call fails by itself
        with pytest.raises(GuardError, match="the sound is lost"):
            run(request, display=Display())
    planned = plan_run(request, display=Display())
    record = load_record(planned.folder)
    assert (record.status, record.error) == (Status.FAILED, "the sound is lost")
    assert planned.finished_record is None
    assert record.metrics == {}


def test_a_run_that_ends_well_at_last_says_how_often_it_failed(
    small_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: draws made again until one goes well, with no trace of the others."""
    request = small_request(seed=5)

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise GuardError("the loss is NaN\nat once")

    folder = plan_run(request, display=Display()).folder
    with monkeypatch.context() as patch:
        patch.setattr(guards, "check_features_differ", refuse)
        for num_before in range(2):
            with pytest.raises(GuardError):
                run(request, display=Display())
            assert load_record(folder).num_earlier_failures == num_before
    (folder / RECORD).unlink()  # as an executor does that tries the run again
    record = run(request, display=Display())
    assert (record.status, record.num_earlier_failures) == (Status.FINISHED, 2)
    assert record.notices[-1].startswith("it failed 2 times before this try")
    lines = (folder / FAILURES).read_text().splitlines()
    assert [json.loads(line)["error"] for line in lines] == ["the loss is NaN\nat once"] * 2


def test_images_in_0_1_end_the_run_before_training(
    small_request: MakeRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Catches: defect 7 put back into the data code, end to end."""
    from core.features import locked_media

    honest = locked_media.to_vae_input
    monkeypatch.setattr(locked_media, "to_vae_input", lambda pixels: honest(pixels) / 2 + 0.5)
    with pytest.raises(GuardError, match=r"reached the VAE in \[0, 1\]"):
        run(small_request(results=tmp_path), display=Display())
    assert not list(tmp_path.glob("runs/*/checkpoints"))


def test_guidance_without_dropout_is_refused_before_a_model_is_loaded(
    small_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: minutes of work before a mistake in the settings is told."""
    monkeypatch.setattr(Foundation, "_whole", lambda *args: pytest.fail("a model was loaded"))
    with pytest.raises(GuardError, match="audio_dropout is 0"):
        run(small_request("training.audio_dropout=0"), display=Display())


def test_a_folder_whose_identity_was_edited_is_refused(
    finished: Any, small_request: MakeRequest
) -> None:
    """Catches: a run resumed inside the folder of another one."""
    planned = plan_run(small_request(seed=2), display=Display())
    planned.folder.mkdir(parents=True)
    edited = json.loads((finished.folder / "identity.json").read_text())
    (planned.folder / "identity.json").write_text(json.dumps(edited))
    with pytest.raises(MismatchError, match="a run with a different seed"):
        run(planned.request, display=Display())
    (planned.folder / "identity.json").write_text("{")
    with pytest.raises(MismatchError, match="damaged"):
        run(planned.request, display=Display())


@pytest.mark.parametrize("content", ["", "{", "null"])
def test_a_damaged_record_is_reported_and_kept(small_request: MakeRequest, content: str) -> None:
    """Catches: a traceback, or a damaged record overwritten without a word."""
    planned = plan_run(small_request(seed=3), display=Display())
    planned.folder.mkdir(parents=True, exist_ok=True)
    (planned.folder / RECORD).write_text(content)
    with pytest.raises(MismatchError, match="move it away and run again"):
        run(planned.request, display=Display())
    assert (planned.folder / RECORD).read_text() == content


def test_the_record_of_another_run_is_refused(finished: Any, small_request: MakeRequest) -> None:
    """Catches: a copied record that passes for a run that never was."""
    planned = plan_run(small_request(seed=4), display=Display())
    planned.folder.mkdir(parents=True)
    shutil.copy(finished.folder / RECORD, planned.folder / RECORD)
    with pytest.raises(MismatchError, match="edited or copied"):
        run(planned.request, display=Display())


def test_a_run_that_another_process_holds_is_refused_with_its_pid(tmp_path: Path) -> None:
    """Catches: two processes that train one run, and a message that names neither."""
    script = (
        "import sys, pathlib; from harness.records.lock import held\n"
        "with held(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(BusyError, match=rf"process {other.pid} on ") as busy, held(tmp_path):
            pass
        other.kill()
    assert busy.value.exit_code == 75
    with held(tmp_path):  # the system let go when the process died
        pass


def test_a_folder_a_class_is_understood(
    small_corpus: Path, small_request: MakeRequest, tmp_path: Path
) -> None:
    """Catches: `--data` that only takes the layout of the embedded corpus."""
    rows = json.loads((small_corpus / "metadata.json").read_text())
    media = tmp_path / "media"
    for row in rows:
        folder = media / row["class"]
        folder.mkdir(parents=True, exist_ok=True)
        for path in (row["audio_path"], row["image_path"]):
            if (small_corpus / path).is_file():
                shutil.copy(small_corpus / path, folder / Path(path).name)
    before = sorted(path.as_posix() for path in media.rglob("*"))
    request = small_request(data=str(media), results=tmp_path / "results")
    planned = plan_run(request, display=Display())
    assert planned.prepared.split.classes == ("fire", "siren", "thunder")
    assert sum(planned.prepared.exclusions.values()) == 4
    assert sorted(path.as_posix() for path in media.rglob("*")) == before


def test_the_lock_file_of_a_split_gives_the_same_run(
    finished: Any, small_request: MakeRequest
) -> None:
    """Catches: an identity that depends on how the same data was named."""
    lock = finished.record.split.lock
    planned = plan_run(small_request(data=lock), display=Display())
    assert planned.identity.run_id == finished.record.run_id


def test_a_corpus_folder_that_was_changed_is_a_sentence(tmp_path: Path) -> None:
    """Catches: a FileExistsError traceback after an upgrade or an edit of the embedded corpus."""
    media = tmp_path / "data" / "embedded-corpus-seed0" / "media"
    media.mkdir(parents=True)
    (media / "notes.txt").write_text("mine")
    with pytest.raises(MismatchError, match="delete this one"):
        plan_run(RunRequest("baseline", results=tmp_path), display=Display())
    assert (media / "notes.txt").read_text() == "mine"


def test_missing_weights_are_reported_before_the_data_is_read(tmp_path: Path) -> None:
    """Catches: hours of cleaning before it turns out that there is no model."""
    request = RunRequest("sonic", profile="sd15", data=str(tmp_path / "none"), results=tmp_path)
    with pytest.raises(HarnessError, match="hf download") as missing:
        plan_run(request, display=Display())
    assert missing.value.exit_code == 66


def test_a_missing_folder_is_a_data_error(small_request: MakeRequest, tmp_path: Path) -> None:
    """Catches: an empty split made of nothing."""
    with pytest.raises(DataError, match="no folder or lock file"):
        plan_run(small_request(data=str(tmp_path / "none")), display=Display())


def test_a_resumed_event_log_drops_what_is_made_again(tmp_path: Path) -> None:
    """Catches: steps logged twice after a resume, a fresh start included; half a last line."""
    path = tmp_path / "events.jsonl"
    lines = [json.dumps({"global_step": step}) + "\n" for step in (1, 2, 3)]
    path.write_text("".join(lines) + '{"global_')
    with EventLog(path) as events:
        events.keep_up_to(2)
    assert path.read_text() == "".join(lines[:2])
    with EventLog(path) as events:
        events.keep_up_to(0)
    assert path.read_text() == ""


@pytest.mark.parametrize(
    ("variant", "dtype"),
    [
        ("sonic", "float32"),
        *((v, "bfloat16") for v in ("sonic", "baseline", "cutting_edge")),
        *((v, "bfloat16") for v in ("class_embedding", "text_only")),
    ],
)
def test_a_run_in_bfloat16_passes_its_own_checks_and_finishes(
    small_request: MakeRequest, variant: str, dtype: str
) -> None:
    """Catches: every full-size run refused for its roundings, or broken by mixed data types."""
    request = small_request(
        "training.precision=bfloat16", f"foundation.dtype={dtype}", variant=variant
    )
    record = run(request, display=Display())
    assert record.status is Status.FINISHED
    assert {"silent_identity", "adapter_identity", "moved"} <= set(record.guards_passed)
    assert record.value("aic") is not None


@pytest.mark.parametrize("variant", ["baseline", "sonic", "cutting_edge"])
def test_a_run_of_one_step_a_stage_finishes_and_says_what_it_cannot_tell(
    small_request: MakeRequest, variant: str
) -> None:
    """Catches: the first run on a rented GPU refused because LoRA's B is still 0."""
    request = small_request(
        *(f"stage{n}.steps=1" for n in (1, 2, 3)),
        *(f"stage{n}.warmup_steps=20" for n in (1, 2)),
        "stage2.lr=1e-6",
        variant=variant,
        score=Score.LOSS,
    )
    record = run(request, display=Display())
    assert record.status is Status.FINISHED
    is_told = any("too few to tell whether all of it trains" in n for n in record.notices)
    assert is_told is not ("moved" in record.guards_passed)
    assert is_told or variant == "cutting_edge"


def test_a_cap_that_leaves_pairs_out_is_said_before_the_run(small_request: MakeRequest) -> None:
    """Catches: 98 of 100 clips of a large class dropped by a default that nobody asked for."""
    lines: list[str] = []

    class Noted(Display):
        def say(self, line: str) -> None:
            lines.append(line)

    for cap in ("6", "100"):
        plan_run(small_request(f"data.cap={cap}"), display=Noted())
    assert lines == [
        "data.cap = 6 clips a class leaves out 10 of 26 pairs; --set data.cap=N keeps more"
    ]
