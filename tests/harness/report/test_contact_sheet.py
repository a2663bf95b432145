"""The contact sheet: what is on it, where, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import DataError, UsageError
from core.randomness import rng
from harness.metrics.arms import ScoredClip
from harness.report.contact_sheet import SheetRow, choose_clips, contact_sheet

COLOURS = {"real": (200, 30, 30), "first": (30, 200, 30), "second": (30, 30, 200)}
OTHER = (200, 200, 30)


@pytest.fixture
def flat(tmp_path) -> dict[str, Path]:
    paths = {}
    for name, colour in {**COLOURS, "other": OTHER}.items():
        paths[name] = tmp_path / f"{name}.png"
        Image.new("RGB", (64, 64), colour).save(paths[name])
    return paths


def _row(flat: dict[str, Path], **changes) -> SheetRow:
    values = {
        "label": "ocean_waves",
        "sample_id": "clip_0001",
        "real": flat["real"],
        "images": {"first": flat["first"], "second": flat["second"]},
        "waveform": rng(0, "sheet").standard_normal(48_000).astype(np.float32) * 0.1,
        **changes,
    }
    return SheetRow(**values)


def _columns_of(sheet: Path, colour: tuple[int, int, int]) -> tuple[int, int]:
    pixels = np.asarray(Image.open(sheet).convert("RGB")).astype(int)
    columns = np.flatnonzero((np.abs(pixels - colour) <= 2).all(axis=2).any(axis=0))
    return int(columns.min()), int(columns.max())


def test_pictures_stand_in_the_order_real_then_branches(flat, tmp_path):
    """Catches: an image under another branch's name."""
    row = _row(flat, images={"second": flat["second"], "first": flat["first"]})
    sheet = contact_sheet([row], columns=["first", "second"], out=tmp_path / "sheet.png")
    real, first, second = (_columns_of(sheet, COLOURS[name]) for name in COLOURS)
    assert real[1] < first[0]
    assert first[1] < second[0]
    assert real[1] - real[0] + 1 >= 2 * 64


def test_the_shuffled_image_stands_beside_its_own_branch(flat, tmp_path):
    """Catches: own and shuffled swapped, which would show the opposite of the result."""
    row = _row(flat, shuffled={"first": flat["other"]})
    sheet = contact_sheet([row], columns=["first", "second"], out=tmp_path / "sheet.png")
    first, other, second = (
        _columns_of(sheet, colour) for colour in (COLOURS["first"], OTHER, COLOURS["second"])
    )
    assert first[1] < other[0] < other[1] < second[0]


def test_a_missing_image_or_sound_stays_blank(flat, tmp_path):
    """Catches: a neighbour's image drawn twice, or a sheet that cannot be made."""
    row = _row(flat, images={"second": flat["second"]}, real=None, waveform=None)
    sheet = contact_sheet([row], columns=["first", "second"], out=tmp_path / "sheet.png")
    pixels = np.asarray(Image.open(sheet).convert("RGB"))
    for name in ("first", "real"):
        assert not (pixels == COLOURS[name]).all(axis=2).any()


def test_silence_and_a_clip_shorter_than_one_window_are_drawn(flat, tmp_path):
    """Catches: a division by a loudness of zero, or an empty window."""
    for number, wave in enumerate((np.zeros(48_000), np.ones(10), np.zeros(0))):
        row = _row(flat, waveform=wave.astype(np.float32))
        assert contact_sheet([row], columns=["first"], out=tmp_path / f"{number}.png").is_file()


def test_names_longer_than_their_column_and_hostile_names_are_drawn(flat, tmp_path):
    """Catches: text over the next column, or a line break that stops the sheet."""
    row = _row(flat, label="x" * 300, sample_id="a\nb\x00" + "ü<script>" * 40)
    sheet = contact_sheet([row], columns=["first", "y" * 200], out=tmp_path / "sheet.png")
    plain = contact_sheet([_row(flat)], columns=["first", "second"], out=tmp_path / "plain.png")
    with Image.open(sheet) as long, Image.open(plain) as short:
        assert long.size == short.size


def test_the_same_input_gives_the_same_bytes(flat, tmp_path):
    """Catches: a sheet that changes in version control for no reason."""
    first = contact_sheet([_row(flat)], columns=["first"], out=tmp_path / "1.png", title="T")
    second = contact_sheet([_row(flat)], columns=["first"], out=tmp_path / "2.png", title="T")
    assert first.read_bytes() == second.read_bytes()


def test_a_broken_image_is_named_and_the_old_sheet_stays(flat, tmp_path):
    """Catches: half a sheet in place of a whole one."""
    out = contact_sheet([_row(flat)], columns=["first"], out=tmp_path / "sheet.png")
    before = out.read_bytes()
    flat["first"].write_bytes(b"no picture")
    with pytest.raises(DataError, match="first"):
        contact_sheet([_row(flat)], columns=["first"], out=out)
    assert out.read_bytes() == before


def test_an_empty_or_endless_sheet_is_refused(flat, tmp_path):
    """Catches: an image of no rows, or one that no viewer opens."""
    for rows in ([], [_row(flat)] * 41):
        with pytest.raises(UsageError, match="rows"):
            contact_sheet(rows, columns=["first"], out=tmp_path / "sheet.png")


def test_clips_are_chosen_by_id_alone_and_evenly_by_class():
    """Catches: a sheet of hand-picked or first-come clips."""
    clips = [
        ScoredClip(sample_id=f"{name}-{index}", class_name=name, caption="")
        for name in ("rain", "fire")
        for index in range(20)
    ]
    chosen = choose_clips(clips, per_class=2)
    assert [clip.class_name for clip in chosen] == ["fire", "fire", "rain", "rain"]
    assert choose_clips(clips[::-1], per_class=2) == chosen
    assert [clip.sample_id for clip in chosen] != ["fire-0", "fire-1", "rain-0", "rain-1"]
