"""Images of validation clips while a run trains."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from PIL import Image

from harness.records.folders import RunFolder
from harness.records.score_kind import Score
from harness.run.plan import RunRequest, plan_run
from harness.run.previews import NUM_CLIPS, preview_clips
from harness.run.run import run_planned
from harness.wording.display import Display


def trained(request: RunRequest) -> tuple[RunFolder, bytes, float | None]:
    """Its folder, its log of steps, its validation loss."""
    record = run_planned(plan_run(request, display=Display()), display=Display())
    folder = RunFolder(request.results / "validation" / record.run_id)
    return folder, folder.events.read_bytes(), record.value("validation_loss")


def test_previews_lie_in_the_folder_and_change_no_number_and_no_id(
    small_request: Callable[..., RunRequest],
) -> None:
    """Catches: a run whose losses, weights or id depend on whether somebody looked."""
    folder, events, loss = trained(
        small_request("training.preview_every=2", seed=43, score=Score.LOSS)
    )
    steps = sorted(path.name for path in folder.previews.iterdir())
    assert steps == ["step-00000002", "step-00000004"]
    for step in steps:
        paths = list((folder.previews / step).glob("*.png"))
        assert len(paths) == NUM_CLIPS
        for path in paths:
            with Image.open(path) as image:
                assert len(image.getcolors(1 << 16) or []) > 1
    shutil.rmtree(folder.path)
    again, same, same_loss = trained(small_request(seed=43, score=Score.LOSS))
    assert again.path == folder.path
    assert not again.previews.exists()
    assert (same, same_loss) == (events, loss)


def test_the_clips_are_the_first_of_each_class_in_turn(tmp_path: Path) -> None:
    """Catches: four pictures of one class."""
    classes = {"a": ["a0", "a1", "a2", "a3"], "b": ["b0"], "c": ["c0", "c1"]}
    samples = {i: SimpleNamespace(class_name=name) for name, ids in classes.items() for i in ids}
    split = SimpleNamespace(val=tuple(sorted(samples)), classes=tuple(classes), samples=samples)
    assert preview_clips(split) == ["a0", "b0", "c0", "a1"]  # type: ignore[arg-type]
