"""The runs of a comparison: a table of clips that is not the one the record sums up."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import DataError
from harness.comparison.runs import load_run
from harness.records.folders import PER_CLIP, RECORD
from harness.records.record import load_record
from harness.run.plan import RunRequest
from harness.run.run import run
from harness.wording.display import Display


@pytest.fixture
def folder(finished: Any, tmp_path: Path) -> Path:
    """A copy of the finished run's record and table."""
    for name in (RECORD, PER_CLIP):
        shutil.copy(finished.folder / name, tmp_path / name)
    return tmp_path


def lines(folder: Path) -> list[str]:
    return (folder / PER_CLIP).read_text().splitlines(keepends=True)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda rows: rows[: len(rows) // 2],
            r"it holds \w+ of \d+ clips in arm \w+, but the record has \d+",
        ),
        (lambda rows: rows[:1], "of 0 clips in arm audio"),
        (lambda rows: [], "No columns"),
        (lambda rows: [",".join(row.split(",")[:-1]) + "\n" for row in rows], "no column value"),
        (lambda rows: [rows[0].replace("arm", "amr"), *rows[1:]], "no column arm"),
        (
            lambda rows: [re.sub("clip_score,.*", "clip_score,9", r) for r in rows],
            "the mean of ",
        ),
        (lambda rows: [*rows[:-1], rows[-1].rsplit(",", 1)[0]], "clips in arm"),
        (lambda rows: [*rows[:-1], rows[-1].rsplit(",", 1)[0] + ",x"], "could not convert"),
    ],
)
def test_a_cut_table_of_clips_is_a_sentence(
    folder: Path, damage: Callable[[list[str]], list[str]], message: str
) -> None:
    """Catches: an interval over the clips that are left, or a traceback without any."""
    assert len(load_run(folder).per_clip) == len(lines(folder)) - 1
    (folder / PER_CLIP).write_text("".join(damage(lines(folder))))
    with pytest.raises(DataError, match=rf"per_clip\.csv is damaged: .*({message})") as raised:
        _ = load_run(folder).per_clip
    assert "delete record.json beside it and run again" in str(raised.value)
    assert load_record(folder).command in str(raised.value)


def test_a_table_without_one_of_two_draws_is_refused(
    small_request: Callable[..., RunRequest],
) -> None:
    """Catches: a clip whose mean is over the draws that are left, or every run of two refused."""
    request = small_request("sampling.images_per_clip=2")
    folder = request.results / "runs" / run(request, display=Display()).run_id
    table = load_run(folder).per_clip
    assert set(table["draw"]) == {0, 1}
    is_lost = (table["draw"] == 1) & (table["metric"] == "clip_score")
    table.drop(index=table.index[is_lost][0]).to_csv(folder / PER_CLIP, index=False)
    with pytest.raises(DataError, match="the mean of clip_score in arm audio is"):
        _ = load_run(folder).per_clip
